# `snakemake --cores 2 evidence`: does the method work? `ablation`: what does each improvement buy? `claims`: do
# pseudo-labels help, and does localisation, as two of the sources say?
# Answered on the phantom, whose every fracture is known. Each target brings its sizes and arms in a preset of its name,
# which the Snakefile lays over config.yaml when it is asked for.


localrules:
    weigh_evidence,
    evidence,
    ablation,
    claims,


rule weigh_evidence:
    """Ways of teaching the same network, side by side on the test studies."""
    input:
        studies=rules.index.output.studies,
        folds=rules.assign_folds.output.folds,
        phantom=rules.make_phantom.output.manifest,
        study_probabilities=of_arms("study_probabilities.parquet"),
        predictions=of_arms("predictions.parquet"),
        training_sets=of_arms("training_set.parquet"),
    output:
        evidence="results/evidence.parquet",
        table="results/evidence.md",
    log:
        "logs/weigh_evidence.txt",
    benchmark:
        "logs/benchmarks/weigh_evidence.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=4000,
    params:
        config=block_of("weigh_evidence"),
        code=code_of("weigh_evidence"),
    shell:
        "python -m cspine weigh_evidence --studies {input.studies} --folds {input.folds} "
        "--test-truth data/phantom_truth/test.csv --slice-truth data/phantom_truth/slices.parquet "
        "--study-probabilities {input.study_probabilities} --predictions {input.predictions} "
        "--training-sets {input.training_sets} "
        "--evidence {output.evidence} --table {output.table} --config {params.config:q} --log {log}"


rule evidence:
    """Show the evidence, and where and from what it was made."""
    input:
        table="results/evidence.md",
    log:
        "logs/evidence.txt",
    conda:
        "../../envs/tables.yaml"
    params:
        seed=config["seed"],
    shell:
        "(echo; cat {input.table}; echo; echo '- seed: {params.seed}'; python -m cspine provenance) | tee {log}"


use rule evidence as ablation with:
    log:
        "logs/ablation.txt",


use rule evidence as claims with:
    log:
        "logs/claims.txt",
