# `snakemake --cores 2 evidence`: does the method work? Answered on the phantom, whose every fracture is known.
# Its sizes are in presets/evidence.yaml, which the Snakefile lays over config.yaml when this target is asked for.


localrules:
    weigh_evidence,
    evidence,


def arm_of(arm, name):
    """One file per fold run of an arm of the evidence."""
    block = config["evidence"][arm]
    return folds_of(block["method"], name, block["round"])


rule weigh_evidence:
    """Teacher, student and a network taught the truth, side by side on the test studies."""
    input:
        studies=rules.index.output.studies,
        folds=rules.assign_folds.output.folds,
        phantom=rules.make_phantom.output.manifest,
        teacher_studies=arm_of("teacher", "study_probabilities.parquet"),
        teacher_slices=arm_of("teacher", "predictions.parquet"),
        student_studies=arm_of("student", "study_probabilities.parquet"),
        student_slices=arm_of("student", "predictions.parquet"),
        truth_studies=arm_of("truth", "study_probabilities.parquet"),
        truth_slices=arm_of("truth", "predictions.parquet"),
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
        "--teacher-studies {input.teacher_studies} --teacher-slices {input.teacher_slices} "
        "--student-studies {input.student_studies} --student-slices {input.student_slices} "
        "--truth-studies {input.truth_studies} --truth-slices {input.truth_slices} "
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
