# Which vertebrae each slice shows, how much of them and where: learnt from the masks, predicted out of fold.
FOLD_LOCALIZER = "localization/{localizer}/fold-{fold}"
FOLD_INNER = f"{FOLD_LOCALIZER}/inner-{{inner}}"


localrules:
    build_localizer_set,
    localize_slices,
    compare_localizers,


rule lay_masks:
    """The vertebra of every voxel of the segmented studies, in the geometry of a view; for families that are taught it."""
    input:
        segmentations=rules.inventory.output.segmentations,
        slices=rules.index.output.slices,
        inventory="results/inventory/train/shard-{shard}.csv",
        form="results/cache/{view}/form.json",
    output:
        masks="results/masks/{view}/shard-{shard}.parquet",
    log:
        "logs/lay_masks/{view}/shard-{shard}.txt",
    benchmark:
        "logs/benchmarks/lay_masks/{view}/shard-{shard}.tsv"
    wildcard_constraints:
        view=views_of("slice"),
    conda:
        "../../envs/tables.yaml"
    threads: 2
    resources:
        mem_mb=4000,
    params:
        root=config["data"]["root"],
        config=block_of("lay_masks"),
        code=code_of("lay_masks"),
        at=at,
    shell:
        "python -m cspine lay_masks --root {params.root:q} --segmentations {input.segmentations} "
        "--slices {input.slices} --inventory {input.inventory} --form {input.form} --masks {output.masks} "
        "--config {params.config:q} --at {params.at:q} --log {log} --workers {threads}"


rule build_localizer_set:
    """What one inner model of a localizer is taught: slices of the segmented studies but those of its own part."""
    input:
        extents=rules.label_presence.output.extents,
        slices=rules.index.output.slices,
        folds=rules.assign_folds.output.folds,
        masks=masks_for,
    output:
        training_set=f"results/{FOLD_INNER}/training_set.parquet",
    log:
        f"logs/build_localizer_set/{FOLD_INNER}.txt",
    benchmark:
        f"logs/benchmarks/build_localizer_set/{FOLD_INNER}.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=4000,
    params:
        masks=option("masks"),
        config=block_of("build_localizer_set"),
        code=code_of("build_localizer_set"),
        at=at,
    shell:
        "python -m cspine build_localizer_set --extents {input.extents} --slices {input.slices} "
        "--folds {input.folds} --training-set {output.training_set} {params.masks} "
        "--config {params.config:q} --at {params.at:q} --log {log}"


use rule train as train_localizer with:
    input:
        training_set=rules.build_localizer_set.output.training_set,
        shards=lambda wildcards: lists_of(localizer_of(wildcards)["view"], wildcards.fold, ["train"]),
        weights=localizer_weights,
    output:
        model=f"results/{FOLD_INNER}/model.safetensors",
        history=f"results/{FOLD_INNER}/history.parquet",
        state=f"results/{FOLD_INNER}/state.safetensors",
    log:
        f"logs/train/{FOLD_INNER}.txt",
    benchmark:
        f"logs/benchmarks/train/{FOLD_INNER}.tsv"
    threads: lambda wildcards: localizer_of(wildcards)["training"]["threads"] * PLAN.devices


rule predict_localizer:
    """What one inner model says about every slice of the studies it was not taught."""
    input:
        model=rules.train_localizer.output.model,
        training_set=rules.build_localizer_set.output.training_set,
        slices=rules.index.output.slices,
        shards=lambda wildcards: lists_of(localizer_of(wildcards)["view"], wildcards.fold),
        masks=masks_for,
    output:
        localized=f"results/{FOLD_INNER}/localized.parquet",
        studies=f"results/{FOLD_INNER}/studies.parquet",
    log:
        f"logs/predict_localizer/{FOLD_INNER}.txt",
    benchmark:
        f"logs/benchmarks/predict_localizer/{FOLD_INNER}.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: lambda wildcards: localizer_of(wildcards)["training"]["threads"]
    resources:
        mem_mb=4000,
        gpu=PLAN.gpu,
    params:
        masks=option("masks"),
        config=block_of("predict_localizer"),
        code=code_of("predict_localizer"),
        at=at,
    shell:
        "python -m cspine predict_localizer --model {input.model} --training-set {input.training_set} "
        "--slices {input.slices} --shards {input.shards} --localized {output.localized} --studies {output.studies} "
        "{params.masks} --config {params.config:q} --at {params.at:q} --log {log}"


rule localize_slices:
    """The localization of every slice: the masks' truth, and out-of-fold predictions put in anatomical order."""
    input:
        extents=rules.label_presence.output.extents,
        slices=rules.index.output.slices,
        folds=rules.assign_folds.output.folds,
        localized=inner_models("localized.parquet"),
    output:
        localization=f"results/{FOLD_LOCALIZER}.parquet",
    log:
        f"logs/localize_slices/{FOLD_LOCALIZER}.txt",
    benchmark:
        f"logs/benchmarks/localize_slices/{FOLD_LOCALIZER}.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=4000,
    params:
        config=block_of("localize_slices"),
        code=code_of("localize_slices"),
        at=at,
    shell:
        "python -m cspine localize_slices --extents {input.extents} --slices {input.slices} --folds {input.folds} "
        "--localized {input.localized} --localization {output.localization} "
        "--config {params.config:q} --at {params.at:q} --log {log}"


rule compare_localizers:
    """All localizers of the config side by side, against masks that the predicting model has not seen."""
    input:
        localizations=of_localizers("fold-{fold}.parquet"),
        models=of_localizers("model.safetensors", inner=True),
        studies=of_localizers("studies.parquet", inner=True),
        folds=rules.assign_folds.output.folds,
    output:
        comparison="results/localization/comparison.parquet",
        table="results/localization/comparison.txt",
    log:
        "logs/compare_localizers.txt",
    benchmark:
        "logs/benchmarks/compare_localizers.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=4000,
    params:
        config=block_of("compare_localizers"),
        code=code_of("compare_localizers"),
    shell:
        "python -m cspine compare_localizers --localizations {input.localizations} --models {input.models} "
        "--studies {input.studies} --folds {input.folds} --comparison {output.comparison} --table {output.table} "
        "--config {params.config:q} --log {log}"
