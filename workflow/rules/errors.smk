# What a method gets wrong, at which level and in which studies: tables, and a text for the person.


localrules:
    analyse_errors,
    analyse_submission_errors,


rule analyse_errors:
    """Errors of the method on held-out studies, and on the test studies where their truth is known."""
    input:
        studies=rules.index.output.studies,
        slices=rules.index.output.slices,
        findings=rules.index.output.findings,
        folds=rules.assign_folds.output.folds,
        labels=rules.label_slices.output.labels,
        presence=rules.label_presence.output.presence,
        study_probabilities=lambda wildcards: folds_of(analysed(wildcards), "study_probabilities.parquet"),
        predictions=lambda wildcards: folds_of(analysed(wildcards), "predictions.parquet"),
        submission=submission_to_analyse,
        phantom=rules.make_phantom.output.manifest if PLAN.is_phantom else [],
    output:
        points="results/{method}/errors/points.parquet",
        confusion="results/{method}/errors/confusion.parquet",
        thresholds="results/{method}/errors/thresholds.parquet",
        curves="results/{method}/errors/curves.parquet",
        areas="results/{method}/errors/areas.parquet",
        reliability="results/{method}/errors/reliability.parquet",
        calibration="results/{method}/errors/calibration.parquet",
        properties="results/{method}/errors/properties.parquet",
        slice_aucs="results/{method}/errors/slice_aucs.parquet",
        text="results/{method}/errors/errors.txt",
    log:
        "logs/analyse_errors/{method}.txt",
    benchmark:
        "logs/benchmarks/analyse_errors/{method}.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=4000,
    params:
        truth=(
            "--truth data/phantom_truth/test.csv --slice-truth data/phantom_truth/slices.parquet"
            if PLAN.is_phantom
            else ""
        ),
        submission=option("submission"),
        config=block_of("analyse_errors"),
        code=code_of("analyse_errors"),
        at=at_where_any,
    shell:
        "python -m cspine analyse_errors --studies {input.studies} --slices {input.slices} "
        "--findings {input.findings} --folds {input.folds} --labels {input.labels} --presence {input.presence} "
        "--study-probabilities {input.study_probabilities} --predictions {input.predictions} "
        "--points {output.points} --confusion {output.confusion} --thresholds {output.thresholds} "
        "--curves {output.curves} --areas {output.areas} --reliability {output.reliability} "
        "--calibration {output.calibration} --properties {output.properties} --slice-aucs {output.slice_aucs} "
        "--text {output.text} {params.truth} {params.submission} "
        "--config {params.config:q} {params.at} --log {log}"


use rule analyse_errors as analyse_submission_errors with:
    output:
        points="results/submission_errors/points.parquet",
        confusion="results/submission_errors/confusion.parquet",
        thresholds="results/submission_errors/thresholds.parquet",
        curves="results/submission_errors/curves.parquet",
        areas="results/submission_errors/areas.parquet",
        reliability="results/submission_errors/reliability.parquet",
        calibration="results/submission_errors/calibration.parquet",
        properties="results/submission_errors/properties.parquet",
        slice_aucs="results/submission_errors/slice_aucs.parquet",
        text="results/submission_errors/errors.txt",
    log:
        "logs/analyse_submission_errors.txt",
    benchmark:
        "logs/benchmarks/analyse_submission_errors.tsv"
