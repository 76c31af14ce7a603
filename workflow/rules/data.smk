# Raw folder -> cache -> index -> labels and folds. Shared by all methods.


localrules:
    list_shards,
    index,
    label_slices,
    assign_folds,


rule make_phantom:
    """The synthetic data set, in exactly the layout of the Kaggle folder."""
    output:
        manifest="results/phantom/manifest.csv",
    log:
        "logs/make_phantom.txt",
    benchmark:
        "logs/benchmarks/make_phantom.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 4
    resources:
        mem_mb=2000,
    params:
        config=block_of("make_phantom"),
        code=code_of("make_phantom"),
    shell:
        "python -m cspine make_phantom --data data/phantom --truth data/phantom_truth --manifest {output.manifest} "
        "--config {params.config:q} --log {log} --workers {threads}"


rule inventory:
    """One listing of the raw folder, and snapshots of its tables: what everything after depends on."""
    input:
        manifest=rules.make_phantom.output.manifest if PLAN.is_phantom else [],
    output:
        train="results/inventory/train.csv",
        boxes="results/inventory/boxes.csv",
        test="results/inventory/test.csv",
        sample_submission="results/inventory/sample_submission.csv",
        folders="results/inventory/folders.csv",
        segmentations="results/inventory/segmentations.csv",
        findings="results/inventory/findings.parquet",
        train_shards=expand("results/inventory/train/shard-{shard}.csv", shard=SHARDS),
        test_shards=expand("results/inventory/test/shard-{shard}.csv", shard=SHARDS),
    log:
        "logs/inventory.txt",
    benchmark:
        "logs/benchmarks/inventory.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        root=config["data"]["root"],
        manifest=option("manifest"),
        config=block_of("inventory"),
        code=code_of("inventory"),
    shell:
        "python -m cspine inventory --root {params.root:q} --train {output.train} --boxes {output.boxes} "
        "--test {output.test} --sample-submission {output.sample_submission} --folders {output.folders} "
        "--segmentations {output.segmentations} --findings {output.findings} --train-shards {output.train_shards} "
        "--test-shards {output.test_shards} {params.manifest} "
        "--config {params.config:q} --log {log}"


rule plan_cache:
    """How large a view of all slices will be, from a sample of them: its encoding, or a reason to stop before writing."""
    input:
        train_shards=rules.inventory.output.train_shards,
        test_shards=rules.inventory.output.test_shards,
    output:
        form="results/cache/{view}/form.json",
        plan="results/cache/{view}/size_plan.json",
    log:
        "logs/plan_cache/{view}.txt",
    benchmark:
        "logs/benchmarks/plan_cache/{view}.tsv"
    wildcard_constraints:
        view=views_of("slice"),
    conda:
        "../../envs/tables.yaml"
    threads: 4
    resources:
        mem_mb=3000,
    params:
        root=config["data"]["root"],
        config=block_of("plan_cache"),
        code=code_of("plan_cache"),
        at=at,
    shell:
        "python -m cspine plan_cache --root {params.root:q} --train-shards {input.train_shards} "
        "--test-shards {input.test_shards} --form {output.form} --plan {output.plan} "
        "--config {params.config:q} --at {params.at:q} --log {log} --workers {threads}"


rule ingest:
    """DICOM files -> Hounsfield units -> one view of the pixels, a shard of the studies at a time."""
    input:
        inventory="results/inventory/{cohort}/shard-{shard}.csv",
        form="results/cache/{view}/form.json",
    output:
        shard="results/cache/{view}/{cohort}/shard-{shard}.parquet",
        studies="results/cache/{view}/{cohort}/shard-{shard}.studies.parquet",
        findings="results/cache/{view}/{cohort}/shard-{shard}.findings.parquet",
    log:
        "logs/ingest/{view}/{cohort}-{shard}.txt",
    benchmark:
        "logs/benchmarks/ingest/{view}/{cohort}-{shard}.tsv"
    wildcard_constraints:
        view=views_of("slice"),
    conda:
        "../../envs/tables.yaml"
    threads: 2
    resources:
        mem_mb=3000,
    params:
        root=config["data"]["root"],
        config=block_of("ingest"),
        code=code_of("ingest"),
        at=at,
    shell:
        "python -m cspine ingest --root {params.root:q} --inventory {input.inventory} --form {input.form} "
        "--shard {output.shard} --studies {output.studies} --findings {output.findings} "
        "--config {params.config:q} --at {params.at:q} --log {log} --workers {threads}"


rule list_shards:
    """The shards of a view in one file: what reads all of them has one input."""
    input:
        shards=lambda wildcards: shards(wildcards.view, [wildcards.cohort]),
    output:
        listed="results/cache/{view}/{cohort}/shards.list",
    log:
        "logs/list_shards/{view}/{cohort}.txt",
    benchmark:
        "logs/benchmarks/list_shards/{view}/{cohort}.tsv"
    wildcard_constraints:
        view=views_of("slice", "volume"),
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=1000,
    params:
        code=code_of("list_shards"),
        at=at,
    shell:
        "python -m cspine list_shards --shards {input.shards} --listed {output.listed} "
        "--at {params.at:q} --log {log}"


rule index:
    """The shards' tables gathered without pixels, and checked against the raw folder's tables."""
    input:
        train=rules.inventory.output.train,
        boxes=rules.inventory.output.boxes,
        test=rules.inventory.output.test,
        sample_submission=rules.inventory.output.sample_submission,
        folders=rules.inventory.output.folders,
        segmentations=rules.inventory.output.segmentations,
        inventory_findings=rules.inventory.output.findings,
        shards=shards("slice"),
        shard_studies=shards("slice", suffix=".studies.parquet"),
        shard_findings=shards("slice", suffix=".findings.parquet"),
    output:
        slices="results/index/slices.parquet",
        studies="results/index/studies.parquet",
        findings="results/index/findings.parquet",
    log:
        "logs/index.txt",
    benchmark:
        "logs/benchmarks/index.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=4000,
    params:
        code=code_of("index"),
    shell:
        "python -m cspine index --train {input.train} --boxes {input.boxes} --test {input.test} "
        "--sample-submission {input.sample_submission} --folders {input.folders} "
        "--segmentations {input.segmentations} --inventory-findings {input.inventory_findings} "
        "--shards {input.shards} --shard-studies {input.shard_studies} --shard-findings {input.shard_findings} "
        "--slices {output.slices} --studies {output.studies} --findings {output.findings} "
        "--log {log}"


rule label_slices:
    """Boxes and study labels -> which vertebrae are fractured in which slice, and where that is known from."""
    input:
        studies=rules.index.output.studies,
        slices=rules.index.output.slices,
        boxes=rules.inventory.output.boxes,
    output:
        labels="results/labels/slices.parquet",
        findings="results/labels/findings.parquet",
    log:
        "logs/label_slices.txt",
    benchmark:
        "logs/benchmarks/label_slices.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=4000,
    params:
        config=block_of("label_slices"),
        code=code_of("label_slices"),
    shell:
        "python -m cspine label_slices --studies {input.studies} --slices {input.slices} --boxes {input.boxes} "
        "--labels {output.labels} --findings {output.findings} "
        "--config {params.config:q} --log {log}"


rule label_presence:
    """Masks -> which vertebrae each slice of a segmented study shows."""
    input:
        segmentations=rules.inventory.output.segmentations,
        slices=rules.index.output.slices,
        train_shards=rules.inventory.output.train_shards,
    output:
        presence="results/labels/presence.parquet",
        extents="results/labels/extents.parquet",
        masks="results/labels/masks.parquet",
        findings="results/labels/presence_findings.parquet",
    log:
        "logs/label_presence.txt",
    benchmark:
        "logs/benchmarks/label_presence.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 2
    resources:
        mem_mb=4000,
    params:
        root=config["data"]["root"],
        code=code_of("label_presence"),
    shell:
        "python -m cspine label_presence --root {params.root:q} --segmentations {input.segmentations} "
        "--slices {input.slices} --train-shards {input.train_shards} --presence {output.presence} "
        "--extents {output.extents} --masks {output.masks} --findings {output.findings} --log {log} --workers {threads}"


rule assign_folds:
    """Every study's role in every fold: train, select or heldout."""
    input:
        studies=rules.index.output.studies,
        audit="results/audit.parquet",
    output:
        folds="results/folds.parquet",
    log:
        "logs/assign_folds.txt",
    benchmark:
        "logs/benchmarks/assign_folds.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        config=block_of("assign_folds"),
        code=code_of("assign_folds"),
    shell:
        "python -m cspine assign_folds --studies {input.studies} --audit {input.audit} --folds {output.folds} "
        "--config {params.config:q} --log {log}"
