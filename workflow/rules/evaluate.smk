# A bundle on labelled studies: read as they are, predicted by its models, scored by train.csv. No cache, no training.


localrules:
    score_bundle,


rule predict_with_bundle:
    """Read and predict the studies of train.csv that the bundle's models have not seen."""
    input:
        manifest=bundle_to_evaluate,
        train=rules.inventory.output.train,
        train_shards=rules.inventory.output.train_shards,
    output:
        study_probabilities="results/evaluation/study_probabilities.parquet",
        predictions="results/evaluation/predictions.parquet",
        findings="results/evaluation/findings.parquet",
    log:
        "logs/predict_with_bundle.txt",
    benchmark:
        "logs/benchmarks/predict_with_bundle.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: 4
    resources:
        mem_mb=4000,
        gpu=PLAN.gpu,
    params:
        root=config["data"]["root"],
        config=block_of("predict_with_bundle"),
        code=code_of("predict_with_bundle"),
    shell:
        "python -m cspine predict_with_bundle --root {params.root:q} --manifest {input.manifest:q} "
        "--train {input.train} --train-shards {input.train_shards} "
        "--study-probabilities {output.study_probabilities} --predictions {output.predictions} "
        "--findings {output.findings} --config {params.config:q} --log {log} --workers {threads}"


rule score_bundle:
    """Losses and AUC on these studies, beside the best constant, with intervals."""
    input:
        train=rules.inventory.output.train,
        manifest=bundle_to_evaluate,
        study_probabilities=rules.predict_with_bundle.output.study_probabilities,
    output:
        scores="results/evaluation/scores.parquet",
        table="results/evaluation/score.txt",
    log:
        "logs/score_bundle.txt",
    benchmark:
        "logs/benchmarks/score_bundle.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        config=block_of("score_bundle"),
        code=code_of("score_bundle"),
    shell:
        "python -m cspine score_bundle --train {input.train} --manifest {input.manifest:q} "
        "--study-probabilities {input.study_probabilities} --scores {output.scores} --table {output.table} "
        "--config {params.config:q} --log {log}"
