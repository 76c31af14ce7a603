# What can be asked for by name.


localrules:
    submission,
    cache,


rule submission:
    """The whole chain: results/submission.csv, and its score on the terminal."""
    input:
        submission="results/submission.csv",
        score=f"results/{SUBMITTED}/score.txt",
    log:
        "logs/submission.txt",
    conda:
        "../../envs/tables.yaml"
    shell:
        "(echo; cat {input.score}; echo; echo '{input.submission} is ready.') | tee {log}"


rule cache:
    """Read the CT once: the pixel cache and the index, before any training."""
    input:
        "results/index/studies.parquet",
