# What is wrong with the data, and which studies are left out of training for it.


localrules:
    audit_studies,


rule audit_studies:
    """What is wrong with each study, and which of them are left out of training."""
    input:
        studies=rules.index.output.studies,
        slices=rules.index.output.slices,
        findings=rules.index.output.findings,
        boxes=rules.inventory.output.boxes,
        box_findings=rules.label_slices.output.findings,
        presence=rules.label_presence.output.presence,
        presence_findings=rules.label_presence.output.findings,
    output:
        audit="results/audit.parquet",
    log:
        "logs/audit_studies.txt",
    benchmark:
        "logs/benchmarks/audit_studies.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=4000,
    params:
        config=block_of("audit_studies"),
        code=code_of("audit_studies"),
    shell:
        "python -m cspine audit_studies --studies {input.studies} --slices {input.slices} --findings {input.findings} "
        "--boxes {input.boxes} --box-findings {input.box_findings} --presence {input.presence} "
        "--presence-findings {input.presence_findings} --audit {output.audit} "
        "--config {params.config:q} --log {log}"


rule write_audit:
    """The audit as a page for the person, before hours of training."""
    input:
        audit=rules.audit_studies.output.audit,
        slices=rules.index.output.slices,
        boxes=rules.inventory.output.boxes,
        presence=rules.label_presence.output.presence,
        masks=rules.label_presence.output.masks,
        train_shards=shards("slice", ["train"]),
        test_shards=shards("slice", ["test"]),
    output:
        page="results/audit.html",
        summary="results/audit.txt",
    log:
        "logs/write_audit.txt",
    benchmark:
        "logs/benchmarks/write_audit.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=4000,
    params:
        config=block_of("write_audit"),
        code=code_of("write_audit"),
    shell:
        "python -m cspine write_audit --audit {input.audit} --slices {input.slices} --boxes {input.boxes} "
        "--presence {input.presence} --masks {input.masks} --train-shards {input.train_shards} "
        "--test-shards {input.test_shards} --page {output.page} --summary {output.summary} "
        "--config {params.config:q} --log {log}"
