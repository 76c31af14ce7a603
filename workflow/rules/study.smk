# From study probabilities to what a person asked for: the submission and its score.


localrules:
    write_submission,
    score,


rule write_submission:
    """Exactly the rows of the sample, in its order; a study that cannot be read gets the training prior."""
    input:
        sample_submission=rules.inventory.output.sample_submission,
        studies=rules.index.output.studies,
        study_probabilities=folds_of(SUBMITTED, "study_probabilities.parquet"),
    output:
        submission="results/submission.csv",
        reasons="results/submission_reasons.parquet",
    log:
        "logs/write_submission.txt",
    benchmark:
        "logs/benchmarks/write_submission.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        config=block_of("write_submission"),
        code=code_of("write_submission"),
    shell:
        "python -m cspine write_submission --sample-submission {input.sample_submission} --studies {input.studies} "
        "--study-probabilities {input.study_probabilities} --submission {output.submission} "
        "--reasons {output.reasons} --config {params.config:q} --log {log}"


rule score:
    """Losses and AUC on studies no model saw, beside the best constant, with intervals."""
    input:
        studies=rules.index.output.studies,
        folds=rules.assign_folds.output.folds,
        study_probabilities=lambda wildcards: folds_of(wildcards.method, "study_probabilities.parquet"),
        pseudo_counts=lambda wildcards: [
            path
            for number in range(last_round(wildcards.method))
            for path in folds_of(wildcards.method, "pseudo_counts.parquet", number)
        ],
        phantom=rules.make_phantom.output.manifest if PLAN.is_phantom else [],
    output:
        scores="results/{method}/scores.parquet",
        table="results/{method}/score.txt",
    log:
        "logs/score/{method}.txt",
    benchmark:
        "logs/benchmarks/score/{method}.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        truth="--truth data/phantom_truth/test.csv" if PLAN.is_phantom else "",
        pseudo_counts=option("pseudo_counts"),
        config=block_of("score"),
        code=code_of("score"),
        at=at,
    shell:
        "python -m cspine score --studies {input.studies} --folds {input.folds} "
        "--study-probabilities {input.study_probabilities} --scores {output.scores} --table {output.table} "
        "{params.truth} {params.pseudo_counts} --config {params.config:q} --at {params.at:q} --log {log}"
