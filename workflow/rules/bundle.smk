# From the models to what is taken away: results/bundle/ predicts where neither workflow nor training data are.


localrules:
    build_wheel,
    write_bundle,


rule build_wheel:
    """The whole project as one wheel, for where it is to be installed without a clone or a network."""
    input:
        sources=PLAN.project_files(),
    output:
        wheel=f"results/bundle/{PLAN.wheel_name()}",
    log:
        "logs/build_wheel.txt",
    benchmark:
        "logs/benchmarks/build_wheel.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=1000,
    params:
        root=workflow.basedir,
        code=code_of("build_wheel"),
    shell:
        "python -m cspine build_wheel --root {params.root:q} --sources {input.sources} --wheel {output.wheel} "
        "--log {log}"


rule write_bundle:
    """The fold models, what was chosen for them, priors and thresholds, listed with digests and versions."""
    input:
        models=models_to_bundle,
        choices=folds_of(SUBMITTED, "aggregation.json"),
        study_probabilities=folds_of(SUBMITTED, "study_probabilities.parquet"),
        form=f"results/cache/{view_of(SUBMITTED)}/form.json",
        studies=rules.index.output.studies,
        folds=rules.assign_folds.output.folds,
        project=PLAN.project_file("pyproject.toml"),
        wheel=rules.build_wheel.output.wheel,
    output:
        weights=expand("results/bundle/model-fold-{fold}.safetensors", fold=config["folds"]["run"]),
        settings="results/bundle/config.json",
        readme="results/bundle/README.md",
        manifest="results/bundle/bundle.json",
    log:
        "logs/write_bundle.txt",
    benchmark:
        "logs/benchmarks/write_bundle.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        config=block_of("write_bundle"),
        code=code_of("write_bundle"),
    shell:
        "python -m cspine write_bundle --models {input.models} --choices {input.choices} "
        "--study-probabilities {input.study_probabilities} --form {input.form} --studies {input.studies} "
        "--folds {input.folds} --project {input.project} --wheel {input.wheel} --weights {output.weights} "
        "--settings {output.settings} --readme {output.readme} --manifest {output.manifest} "
        "--config {params.config:q} --log {log}"
