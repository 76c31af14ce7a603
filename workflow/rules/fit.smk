# One method on one fold is a river: training set -> model -> predictions -> pseudo-labels -> the next round.
FOLD = "{method}/fold-{fold}"
FOLD_ROUND = f"{FOLD}/round-{{round}}"


localrules:
    assign_boxes,
    measure_labels,
    build_training_set,
    build_study_set,
    pseudo_label,
    aggregate_studies,


rule assign_boxes:
    """Boxes given to vertebrae, rims and gaps weighed or left out: the slice labels of one method and fold."""
    input:
        labels=rules.label_slices.output.labels,
        studies=rules.index.output.studies,
        slices=rules.index.output.slices,
        boxes=rules.inventory.output.boxes,
        localization=localization_for,
    output:
        slice_labels=f"results/{FOLD}/slice_labels.parquet",
        findings=f"results/{FOLD}/slice_label_findings.parquet",
    log:
        f"logs/assign_boxes/{FOLD}.txt",
    benchmark:
        f"logs/benchmarks/assign_boxes/{FOLD}.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=4000,
    params:
        localization=option("localization"),
        config=block_of("assign_boxes"),
        code=code_of("assign_boxes"),
        at=at,
    shell:
        "python -m cspine assign_boxes --labels {input.labels} --studies {input.studies} --slices {input.slices} "
        "--boxes {input.boxes} --slice-labels {output.slice_labels} --findings {output.findings} "
        "{params.localization} --config {params.config:q} --at {params.at:q} --log {log}"


rule measure_labels:
    """Precision and recall of the slice labels, which only the phantom's truth can tell."""
    input:
        labels=labels_for,
        phantom=rules.make_phantom.output.manifest,
    output:
        quality=f"results/{FOLD}/label_quality.parquet",
    log:
        f"logs/measure_labels/{FOLD}.txt",
    benchmark:
        f"logs/benchmarks/measure_labels/{FOLD}.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=4000,
    params:
        config=block_of("measure_labels"),
        code=code_of("measure_labels"),
        at=at,
    shell:
        "python -m cspine measure_labels --labels {input.labels} --truth data/phantom_truth/slices.parquet "
        "--quality {output.quality} --config {params.config:q} --at {params.at:q} --log {log}"


rule build_training_set:
    """What the model is taught, readable: study, slice, targets, source, weight, role."""
    input:
        labels=labels_for,
        folds=rules.assign_folds.output.folds,
        slices=rules.index.output.slices,
        pseudo_labels=pseudo_labels_before,
        presence=presence_for,
        localization=localization_for_targets,
        studies=studies_for,
        phantom=lambda wildcards: rules.make_phantom.output.manifest if truth_for(wildcards) else [],
    output:
        training_set=f"results/{FOLD_ROUND}/training_set.parquet",
    log:
        f"logs/build_training_set/{FOLD_ROUND}.txt",
    benchmark:
        f"logs/benchmarks/build_training_set/{FOLD_ROUND}.tsv"
    wildcard_constraints:
        method=methods_of("slice"),
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=4000,
    params:
        pseudo_labels=option("pseudo_labels"),
        presence=option("presence"),
        localization=option("localization"),
        studies=option("studies"),
        truth=truth_for,
        config=block_of("build_training_set"),
        code=code_of("build_training_set"),
        at=at,
    shell:
        "python -m cspine build_training_set --labels {input.labels} --folds {input.folds} --slices {input.slices} "
        "--training-set {output.training_set} {params.pseudo_labels} {params.presence} {params.localization} "
        "{params.studies} {params.truth} "
        "--config {params.config:q} --at {params.at:q} --log {log}"


rule build_study_set:
    """The same for models that judge whole studies, or whole vertebrae."""
    input:
        studies=rules.index.output.studies,
        folds=rules.assign_folds.output.folds,
        vertebrae=vertebrae_for,
    output:
        training_set=f"results/{FOLD_ROUND}/training_set.parquet",
    log:
        f"logs/build_study_set/{FOLD_ROUND}.txt",
    benchmark:
        f"logs/benchmarks/build_study_set/{FOLD_ROUND}.tsv"
    wildcard_constraints:
        method=methods_of("vertebra", "study"),
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        vertebrae=option("vertebrae"),
        config=block_of("build_study_set"),
        code=code_of("build_study_set"),
        at=at,
    shell:
        "python -m cspine build_study_set --studies {input.studies} --folds {input.folds} "
        "--training-set {output.training_set} {params.vertebrae} "
        "--config {params.config:q} --at {params.at:q} --log {log}"


rule train:
    """Train one round of one fold; killed at any moment it goes on from its last checkpoint."""
    input:
        training_set=rules.build_training_set.output.training_set,
        shards=lambda wildcards: lists_of(view_of(wildcards.method), wildcards.fold, ["train"]),
        weights=weights_file,
        init_from=model_to_start_from,
        continue_from=part_before,
    output:
        model=f"results/{FOLD_ROUND}/model.safetensors",
        history=f"results/{FOLD_ROUND}/history.parquet",
        state=f"results/{FOLD_ROUND}/state.safetensors",
    log:
        f"logs/train/{FOLD_ROUND}.txt",
    benchmark:
        f"logs/benchmarks/train/{FOLD_ROUND}.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: lambda wildcards: part_of_round(wildcards)["training"]["threads"] * PLAN.devices
    resources:
        mem_mb=4000 * PLAN.devices,
        gpu=PLAN.gpu * PLAN.devices,
    params:
        weights=option("weights"),
        init_from=option("init_from"),
        continue_from=option("continue_from"),
        config=block_of("train"),
        code=code_of("train"),
        at=at,
    shell:
        "python -m cspine train --training-set {input.training_set} --shards {input.shards} "
        "--model {output.model} --history {output.history} --state {output.state} {params.weights} "
        "{params.init_from} {params.continue_from} "
        "--config {params.config:q} --at {params.at:q} --log {log}"


use rule train as train_part with:
    output:
        model=f"results/{FOLD_ROUND}/parts/{{part}}/model.safetensors",
        history=f"results/{FOLD_ROUND}/parts/{{part}}/history.parquet",
        state=f"results/{FOLD_ROUND}/parts/{{part}}/state.safetensors",
    log:
        f"logs/train/{FOLD_ROUND}/part-{{part}}.txt",
    benchmark:
        f"logs/benchmarks/train/{FOLD_ROUND}/part-{{part}}.tsv"


use rule train as train_member with:
    output:
        model=f"results/{FOLD_ROUND}/members/{{member}}/model.safetensors",
        history=f"results/{FOLD_ROUND}/members/{{member}}/history.parquet",
        state=f"results/{FOLD_ROUND}/members/{{member}}/state.safetensors",
    log:
        f"logs/train/{FOLD_ROUND}/member-{{member}}.txt",
    benchmark:
        f"logs/benchmarks/train/{FOLD_ROUND}/member-{{member}}.tsv"


rule predict_slices:
    """Probabilities of every readable slice of both cohorts."""
    input:
        models=models_to_predict,
        slices=rules.index.output.slices,
        shards=lambda wildcards: lists_of(view_of(wildcards.method), wildcards.fold),
    output:
        predictions=f"results/{FOLD_ROUND}/predictions.parquet",
    log:
        f"logs/predict_slices/{FOLD_ROUND}.txt",
    benchmark:
        f"logs/benchmarks/predict_slices/{FOLD_ROUND}.tsv"
    wildcard_constraints:
        method=methods_of("slice"),
    conda:
        "../../envs/torch.yaml"
    threads: lambda wildcards: part_of_round(wildcards)["training"]["threads"] * PLAN.devices
    resources:
        mem_mb=4000 * PLAN.devices,
        gpu=PLAN.gpu * PLAN.devices,
    params:
        config=block_of("predict_slices"),
        code=code_of("predict_slices"),
        at=at,
    shell:
        "python -m cspine predict_slices --models {input.models} --slices {input.slices} --shards {input.shards} "
        "--predictions {output.predictions} "
        "--config {params.config:q} --at {params.at:q} --log {log}"


rule predict_studies:
    """Probabilities of every readable study of both cohorts, by models that judge studies or vertebrae as a whole."""
    input:
        models=models_to_predict,
        studies=rules.index.output.studies,
        vertebrae=vertebrae_for,
        shards=lambda wildcards: lists_of(view_of(wildcards.method), wildcards.fold),
    output:
        predictions=f"results/{FOLD_ROUND}/predictions.parquet",
    log:
        f"logs/predict_studies/{FOLD_ROUND}.txt",
    benchmark:
        f"logs/benchmarks/predict_studies/{FOLD_ROUND}.tsv"
    wildcard_constraints:
        method=methods_of("vertebra", "study"),
    conda:
        "../../envs/torch.yaml"
    threads: lambda wildcards: block_of_round(wildcards)["training"]["threads"] * PLAN.devices
    resources:
        mem_mb=4000 * PLAN.devices,
        gpu=PLAN.gpu * PLAN.devices,
    params:
        vertebrae=option("vertebrae"),
        config=block_of("predict_studies"),
        code=code_of("predict_studies"),
        at=at,
    shell:
        "python -m cspine predict_studies --models {input.models} --studies {input.studies} --shards {input.shards} "
        "--predictions {output.predictions} {params.vertebrae} "
        "--config {params.config:q} --at {params.at:q} --log {log}"


rule pseudo_label:
    """Slice labels for the fractured training studies without boxes, from this round's predictions."""
    input:
        predictions=lambda wildcards: made_in(wildcards, int(wildcards.round), "predictions.parquet"),
        studies=rules.index.output.studies,
        folds=rules.assign_folds.output.folds,
        labels=labels_for,
        localization=localization_for_pseudo_labels,
    output:
        pseudo_labels=f"results/{FOLD_ROUND}/pseudo_labels.parquet",
        counts=f"results/{FOLD_ROUND}/pseudo_counts.parquet",
        choices=f"results/{FOLD_ROUND}/pseudo_choices.json",
    log:
        f"logs/pseudo_label/{FOLD_ROUND}.txt",
    benchmark:
        f"logs/benchmarks/pseudo_label/{FOLD_ROUND}.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=4000,
    params:
        localization=option("localization"),
        config=block_of("pseudo_label"),
        code=code_of("pseudo_label"),
        at=at,
    shell:
        "python -m cspine pseudo_label --predictions {input.predictions} --studies {input.studies} "
        "--folds {input.folds} --labels {input.labels} --pseudo-labels {output.pseudo_labels} "
        "--counts {output.counts} --choices {output.choices} {params.localization} "
        "--config {params.config:q} --at {params.at:q} --log {log}"


rule aggregate_studies:
    """Slice -> vertebra -> patient, the way chosen on the fold's `select` studies."""
    input:
        predictions=f"results/{FOLD_ROUND}/predictions.parquet",
        studies=rules.index.output.studies,
        folds=rules.assign_folds.output.folds,
    output:
        study_probabilities=f"results/{FOLD_ROUND}/study_probabilities.parquet",
        choice=f"results/{FOLD_ROUND}/aggregation.json",
    log:
        f"logs/aggregate_studies/{FOLD_ROUND}.txt",
    benchmark:
        f"logs/benchmarks/aggregate_studies/{FOLD_ROUND}.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=4000,
    params:
        config=block_of("aggregate_studies"),
        code=code_of("aggregate_studies"),
        at=at,
    shell:
        "python -m cspine aggregate_studies --predictions {input.predictions} --studies {input.studies} "
        "--folds {input.folds} --study-probabilities {output.study_probabilities} --choice {output.choice} "
        "--config {params.config:q} --at {params.at:q} --log {log}"
