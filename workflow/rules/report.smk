# What a run found, on one page, and its figures as files.


localrules:
    choose_cases,
    write_report,


rule choose_cases:
    """The vertebrae that a method got most wrong, and the studies to browse."""
    input:
        studies=rules.index.output.studies,
        slices=rules.index.output.slices,
        findings=rules.index.output.findings,
        folds=rules.assign_folds.output.folds,
        points=rules.analyse_errors.output.points,
        study_probabilities=lambda wildcards: folds_of(wildcards.method, "study_probabilities.parquet"),
        predictions=lambda wildcards: folds_of(wildcards.method, "predictions.parquet"),
        choices=lambda wildcards: folds_of(wildcards.method, "aggregation.json"),
        pseudo_labels=lambda wildcards: last_pseudo_labels(wildcards.method),
        phantom=rules.make_phantom.output.manifest if PLAN.is_phantom else [],
    output:
        cases="results/{method}/report/cases.parquet",
        shown="results/{method}/report/shown.parquet",
    log:
        "logs/choose_cases/{method}.txt",
    benchmark:
        "logs/benchmarks/choose_cases/{method}.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=4000,
    params:
        pseudo_labels=option("pseudo_labels"),
        truth="--truth data/phantom_truth/test.csv" if PLAN.is_phantom else "",
        config=block_of("choose_cases"),
        code=code_of("choose_cases"),
        at=at,
    shell:
        "python -m cspine choose_cases --studies {input.studies} --slices {input.slices} --findings {input.findings} "
        "--folds {input.folds} --points {input.points} --study-probabilities {input.study_probabilities} "
        "--predictions {input.predictions} --choices {input.choices} --cases {output.cases} --shown {output.shown} "
        "{params.pseudo_labels} {params.truth} --config {params.config:q} --at {params.at:q} --log {log}"


rule explain_cases:
    """What drives the answer in the key slice of each of these."""
    input:
        cases=rules.choose_cases.output.cases,
        models=lambda wildcards: [path for fold in config["folds"]["run"] for path in models_of(wildcards.method, fold)],
        shards=lambda wildcards: shards_of_folds(view_of(wildcards.method)),
        slices=rules.index.output.slices,
        findings=rules.index.output.findings,
        boxes=rules.inventory.output.boxes,
        vertebrae=lambda wildcards: vertebrae_of(wildcards.method),
        crops=lambda wildcards: crops_of(wildcards.method),
        phantom=rules.make_phantom.output.manifest if PLAN.is_phantom else [],
    output:
        explained="results/{method}/report/explained.parquet",
    log:
        "logs/explain_cases/{method}.txt",
    benchmark:
        "logs/benchmarks/explain_cases/{method}.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: lambda wildcards: config["methods"][wildcards.method]["training"]["threads"]
    resources:
        mem_mb=4000,
        gpu=PLAN.gpu,
    params:
        vertebrae=option("vertebrae"),
        crops=option("crops"),
        truth="--slice-truth data/phantom_truth/slices.parquet" if PLAN.is_phantom else "",
        config=block_of("explain_cases"),
        code=code_of("explain_cases"),
        at=at,
    shell:
        "python -m cspine explain_cases --cases {input.cases} --models {input.models} --shards {input.shards} "
        "--slices {input.slices} --findings {input.findings} --boxes {input.boxes} --explained {output.explained} "
        "{params.vertebrae} {params.crops} {params.truth} "
        "--config {params.config:q} --at {params.at:q} --log {log}"


rule gather_studies:
    """The slices of the studies to browse, and what is said of each."""
    input:
        shown=rules.choose_cases.output.shown,
        studies=rules.index.output.studies,
        slices=rules.index.output.slices,
        findings=rules.index.output.findings,
        boxes=rules.inventory.output.boxes,
        labels=labels_for,
        presence=rules.label_presence.output.presence,
        train_shards=lambda wildcards: shards(browsed_view(wildcards.method), ["train"]),
        test_shards=lambda wildcards: shards(browsed_view(wildcards.method), ["test"]),
        masks=lambda wildcards: mask_shards(browsed_view(wildcards.method)),
        predictions=lambda wildcards: folds_of(wildcards.method, "predictions.parquet"),
        pseudo_labels=lambda wildcards: last_pseudo_labels(wildcards.method),
        localization=lambda wildcards: localizations_of(wildcards.method),
        phantom=rules.make_phantom.output.manifest if PLAN.is_phantom else [],
    output:
        browsed="results/{method}/report/browsed.parquet",
    log:
        "logs/gather_studies/{method}.txt",
    benchmark:
        "logs/benchmarks/gather_studies/{method}.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=4000,
    params:
        pseudo_labels=option("pseudo_labels"),
        localization=option("localization"),
        truth="--truth data/phantom_truth/slices.parquet" if PLAN.is_phantom else "",
        config=block_of("gather_studies"),
        code=code_of("gather_studies"),
        at=at,
    shell:
        "python -m cspine gather_studies --shown {input.shown} --studies {input.studies} --slices {input.slices} "
        "--findings {input.findings} --boxes {input.boxes} --labels {input.labels} --presence {input.presence} "
        "--train-shards {input.train_shards} --test-shards {input.test_shards} --masks {input.masks} "
        "--predictions {input.predictions} --browsed {output.browsed} "
        "{params.pseudo_labels} {params.localization} {params.truth} "
        "--config {params.config:q} --at {params.at:q} --log {log}"


rule write_report:
    """All of it for the person: one page that needs no network, and each figure as PNG and SVG."""
    input:
        studies=rules.index.output.studies,
        folds=rules.assign_folds.output.folds,
        audit=rules.audit_studies.output.audit,
        scores=f"results/{SUBMITTED}/scores.parquet",
        study_probabilities=of_rounds("study_probabilities.parquet"),
        training_sets=of_rounds("training_set.parquet"),
        histories=of_rounds("history.parquet", members=True),
        error_tables=expand(f"results/{SUBMITTED}/errors/{{name}}.parquet", name=ERRORS),
        error_text=f"results/{SUBMITTED}/errors/errors.txt",
        shown=f"results/{SUBMITTED}/report/shown.parquet",
        cases=f"results/{SUBMITTED}/report/cases.parquet",
        explained=f"results/{SUBMITTED}/report/explained.parquet",
        browsed=f"results/{SUBMITTED}/report/browsed.parquet",
        quality=of_rounds("pseudo_quality.parquet") if SUBMITTED in OF_UNIT["slice"] else [],
        quality_text=f"results/{SUBMITTED}/pseudo_quality.txt" if SUBMITTED in OF_UNIT["slice"] else [],
        comparison="results/comparison.csv" if config["report"]["comparison"] else [],
        phantom=rules.make_phantom.output.manifest if PLAN.is_phantom else [],
    output:
        page=report("results/report.html", category="Report", caption="../report/page.rst"),
        figures=[
            report(
                f"results/report/{name}.{form}", category="Figures", subcategory=name, caption="../report/figure.rst"
            )
            for name in FIGURES
            for form in FORMS
        ],
    log:
        "logs/write_report.txt",
    benchmark:
        "logs/benchmarks/write_report.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=4000,
    params:
        quality=option("quality"),
        quality_text=option("quality_text"),
        comparison=option("comparison"),
        truth="--truth data/phantom_truth/test.csv" if PLAN.is_phantom else "",
        config=block_of("write_report"),
        code=code_of("write_report"),
    shell:
        "python -m cspine write_report --studies {input.studies} --folds {input.folds} --audit {input.audit} "
        "--scores {input.scores} --study-probabilities {input.study_probabilities} "
        "--training-sets {input.training_sets} --histories {input.histories} --error-tables {input.error_tables} "
        "--error-text {input.error_text} --shown {input.shown} --cases {input.cases} --explained {input.explained} "
        "--browsed {input.browsed} --page {output.page} --figures {output.figures} {params.quality} "
        "{params.quality_text} {params.comparison} {params.truth} --config {params.config:q} --log {log}"
