# How good are the pseudo-labels? By boxes that were not shown, on any data; on the phantom by its hidden truth too.


localrules:
    measure_pseudo_labels,
    write_pseudo_quality,


rule measure_pseudo_labels:
    """Boxed studies of `select`, labelled as if they had no boxes and held against these."""
    input:
        predictions=lambda wildcards: made_in(wildcards, int(wildcards.round), "predictions.parquet"),
        studies=rules.index.output.studies,
        folds=rules.assign_folds.output.folds,
        labels=labels_for,
        localization=localization_for_pseudo_labels,
        phantom=rules.make_phantom.output.manifest if PLAN.is_phantom else [],
    output:
        quality=f"results/{FOLD_ROUND}/pseudo_quality.parquet",
    log:
        f"logs/measure_pseudo_labels/{FOLD_ROUND}.txt",
    benchmark:
        f"logs/benchmarks/measure_pseudo_labels/{FOLD_ROUND}.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=4000,
    params:
        localization=option("localization"),
        truth="--truth data/phantom_truth/slices.parquet" if PLAN.is_phantom else "",
        config=block_of("measure_pseudo_labels"),
        code=code_of("measure_pseudo_labels"),
        at=at,
    shell:
        "python -m cspine measure_pseudo_labels --predictions {input.predictions} --studies {input.studies} "
        "--folds {input.folds} --labels {input.labels} --quality {output.quality} {params.localization} {params.truth} "
        "--config {params.config:q} --at {params.at:q} --log {log}"


rule write_pseudo_quality:
    """The same for the person, over the folds run and the rounds."""
    input:
        quality=quality_of,
    output:
        text="results/{method}/pseudo_quality.txt",
    log:
        "logs/write_pseudo_quality/{method}.txt",
    benchmark:
        "logs/benchmarks/write_pseudo_quality/{method}.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        config=block_of("write_pseudo_quality"),
        code=code_of("write_pseudo_quality"),
        at=at,
    shell:
        "python -m cspine write_pseudo_quality --quality {input.quality} --text {output.text} "
        "--config {params.config:q} --at {params.at:q} --log {log}"


rule write_pseudo_pages:
    """The most doubtful pseudo-labels with their slices, and studies as matrices: a page for the person."""
    input:
        predictions=labels_shown("predictions.parquet"),
        pseudo_labels=labels_shown("pseudo_labels.parquet"),
        student=labels_shown("predictions.parquet", later=1),
        studies=rules.index.output.studies,
        folds=rules.assign_folds.output.folds,
        labels=labels_for,
        localization=localization_for_pseudo_labels,
        shards=lambda wildcards: shards(view_of(wildcards.method), ["train"]),
        phantom=rules.make_phantom.output.manifest if PLAN.is_phantom else [],
    output:
        page="results/{method}/pseudo_labels.html",
    log:
        "logs/write_pseudo_pages/{method}.txt",
    benchmark:
        "logs/benchmarks/write_pseudo_pages/{method}.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=4000,
    params:
        localization=option("localization"),
        student=option("student"),
        truth="--truth data/phantom_truth/slices.parquet" if PLAN.is_phantom else "",
        config=block_of("write_pseudo_pages"),
        code=code_of("write_pseudo_pages"),
        at=at,
    shell:
        "python -m cspine write_pseudo_pages --predictions {input.predictions} --pseudo-labels {input.pseudo_labels} "
        "--studies {input.studies} --folds {input.folds} --labels {input.labels} --shards {input.shards} "
        "--page {output.page} {params.localization} {params.student} {params.truth} "
        "--config {params.config:q} --at {params.at:q} --log {log}"
