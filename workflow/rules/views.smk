# Views beside slices: crops around the cervical spine, a set of them for each fold, and whole studies as volumes.
CROPS = "{view}/fold-{fold}"


localrules:
    place_crops,
    list_crop_shards,


rule place_crops:
    """Which slices of each study show its cervical spine, and where in them it is, as the fold's localizer says."""
    input:
        localization=lambda wildcards: localization_of(config["views"][wildcards.view]["localizer"], wildcards),
        slices=rules.index.output.slices,
    output:
        crops=f"results/crops/{CROPS}.parquet",
    log:
        f"logs/place_crops/{CROPS}.txt",
    benchmark:
        f"logs/benchmarks/place_crops/{CROPS}.tsv"
    wildcard_constraints:
        view=views_of("crop"),
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=4000,
    params:
        config=block_of("place_crops"),
        code=code_of("place_crops"),
        at=at,
    shell:
        "python -m cspine place_crops --localization {input.localization} --slices {input.slices} "
        "--crops {output.crops} --config {params.config:q} --at {params.at:q} --log {log}"


rule plan_crops:
    """How large a fold's crops will be, from a sample of them: their encoding, or a reason to stop before writing."""
    input:
        train_shards=rules.inventory.output.train_shards,
        test_shards=rules.inventory.output.test_shards,
        slices=rules.index.output.slices,
        crops=rules.place_crops.output.crops,
    output:
        form=f"results/cache/{CROPS}/form.json",
        plan=f"results/cache/{CROPS}/size_plan.json",
    log:
        f"logs/plan_crops/{CROPS}.txt",
    benchmark:
        f"logs/benchmarks/plan_crops/{CROPS}.tsv"
    wildcard_constraints:
        view=views_of("crop"),
    conda:
        "../../envs/tables.yaml"
    threads: 4
    resources:
        mem_mb=3000,
    params:
        root=config["data"]["root"],
        config=block_of("plan_crops"),
        code=code_of("plan_crops"),
        at=at,
    shell:
        "python -m cspine plan_crops --root {params.root:q} --train-shards {input.train_shards} "
        "--test-shards {input.test_shards} --slices {input.slices} --crops {input.crops} --form {output.form} "
        "--plan {output.plan} --config {params.config:q} --at {params.at:q} --log {log} --workers {threads}"


rule ingest_crops:
    """A second pass over the files: the slices that show the cervical spine, in a square around it."""
    input:
        inventory="results/inventory/{cohort}/shard-{shard}.csv",
        slices=rules.index.output.slices,
        crops=rules.place_crops.output.crops,
        form=rules.plan_crops.output.form,
    output:
        shard=f"results/cache/{CROPS}/{{cohort}}/shard-{{shard}}.parquet",
        findings=f"results/cache/{CROPS}/{{cohort}}/shard-{{shard}}.findings.parquet",
    log:
        f"logs/ingest_crops/{CROPS}/{{cohort}}-{{shard}}.txt",
    benchmark:
        f"logs/benchmarks/ingest_crops/{CROPS}/{{cohort}}-{{shard}}.tsv"
    wildcard_constraints:
        view=views_of("crop"),
    conda:
        "../../envs/tables.yaml"
    threads: 2
    resources:
        mem_mb=3000,
    params:
        root=config["data"]["root"],
        config=block_of("ingest_crops"),
        code=code_of("ingest_crops"),
        at=at,
    shell:
        "python -m cspine ingest_crops --root {params.root:q} --inventory {input.inventory} --slices {input.slices} "
        "--crops {input.crops} --form {input.form} --shard {output.shard} --findings {output.findings} "
        "--config {params.config:q} --at {params.at:q} --log {log} --workers {threads}"


use rule list_shards as list_crop_shards with:
    input:
        shards=lambda wildcards: shards_of(wildcards.view, wildcards.fold, [wildcards.cohort]),
    output:
        listed=f"results/cache/{CROPS}/{{cohort}}/shards.list",
    log:
        f"logs/list_shards/{CROPS}/{{cohort}}.txt",
    benchmark:
        f"logs/benchmarks/list_shards/{CROPS}/{{cohort}}.tsv"
    wildcard_constraints:
        view=views_of("crop"),


rule plan_volumes:
    """How large a view of volumes will be, from a few studies: its encoding, or a reason to stop before writing."""
    input:
        train_shards=rules.inventory.output.train_shards,
        test_shards=rules.inventory.output.test_shards,
    output:
        form="results/cache/{view}/form.json",
        plan="results/cache/{view}/size_plan.json",
    log:
        "logs/plan_volumes/{view}.txt",
    benchmark:
        "logs/benchmarks/plan_volumes/{view}.tsv"
    wildcard_constraints:
        view=views_of("volume"),
    conda:
        "../../envs/torch.yaml"
    threads: 2
    resources:
        mem_mb=6000,
    params:
        root=config["data"]["root"],
        config=block_of("plan_volumes"),
        code=code_of("plan_volumes"),
        at=at,
    shell:
        "python -m cspine plan_volumes --root {params.root:q} --train-shards {input.train_shards} "
        "--test-shards {input.test_shards} --form {output.form} --plan {output.plan} "
        "--config {params.config:q} --at {params.at:q} --log {log} --workers {threads}"


rule ingest_volumes:
    """DICOM files -> Hounsfield units -> a cube along the patient's axes, of equal spacing."""
    input:
        inventory="results/inventory/{cohort}/shard-{shard}.csv",
        form=rules.plan_volumes.output.form,
    output:
        shard="results/cache/{view}/{cohort}/shard-{shard}.parquet",
        findings="results/cache/{view}/{cohort}/shard-{shard}.findings.parquet",
    log:
        "logs/ingest_volumes/{view}/{cohort}-{shard}.txt",
    benchmark:
        "logs/benchmarks/ingest_volumes/{view}/{cohort}-{shard}.tsv"
    wildcard_constraints:
        view=views_of("volume"),
    conda:
        "../../envs/torch.yaml"
    threads: 2
    resources:
        mem_mb=6000,
    params:
        root=config["data"]["root"],
        config=block_of("ingest_volumes"),
        code=code_of("ingest_volumes"),
        at=at,
    shell:
        "python -m cspine ingest_volumes --root {params.root:q} --inventory {input.inventory} --form {input.form} "
        "--shard {output.shard} --findings {output.findings} "
        "--config {params.config:q} --at {params.at:q} --log {log} --workers {threads}"
