# Where each vertebra of every study lies, for methods that judge vertebrae one by one.


localrules:
    place_vertebrae,


rule place_vertebrae:
    """Which slices stand for each vertebra, and which square of each of them; by a localizer's predictions."""
    input:
        localization=lambda wildcards: localization_of(
            config["methods"][wildcards.method]["labels"]["localizer"], wildcards
        ),
        crops=lambda wildcards: f"results/crops/{view_of(wildcards.method)}/fold-{wildcards.fold}.parquet",
        slices=rules.index.output.slices,
    output:
        vertebrae=f"results/{FOLD}/vertebrae.parquet",
    log:
        f"logs/place_vertebrae/{FOLD}.txt",
    benchmark:
        f"logs/benchmarks/place_vertebrae/{FOLD}.tsv"
    wildcard_constraints:
        method=methods_of("vertebra"),
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=4000,
    params:
        config=block_of("place_vertebrae"),
        code=code_of("place_vertebrae"),
        at=at,
    shell:
        "python -m cspine place_vertebrae --localization {input.localization} --crops {input.crops} "
        "--slices {input.slices} --vertebrae {output.vertebrae} "
        "--config {params.config:q} --at {params.at:q} --log {log}"
