# A look at the cohort before training: `snakemake cohort_report`. No part of `all`.


rule thumbnails:
    input:
        f"{RESULTS}/cohort/stored/{{shard}}.tsv",
    output:
        pictures=directory(f"{RESULTS}/cohort_report/pictures/{{shard}}"),
        volumes=f"{RESULTS}/cohort_report/volumes/{{shard}}.tsv",
        histogram=f"{RESULTS}/cohort_report/histograms/{{shard}}.tsv",
    log:
        f"{LOGS}/thumbnails/{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/thumbnails/{{shard}}.tsv"
    conda:
        "../../envs/hounsfield.yaml"
    params:
        preprocessing=canonical(config["preprocessing"]),
        window=config["explain"]["window"],
        code=code("thumbnails.py"),
    message:
        "Draw the volumes of shard {wildcards.shard}"
    script:
        "../../scripts/thumbnails.py"


rule cohort_page:
    input:
        dataset=f"{RESULTS}/cohort/dataset.tsv",
        excluded=f"{RESULTS}/cohort/excluded.tsv",
        stored=expand(f"{RESULTS}/cohort/stored/{{shard}}.tsv", shard=SHARDS),
        volumes=expand(f"{RESULTS}/cohort_report/volumes/{{shard}}.tsv", shard=SHARDS),
        histograms=expand(
            f"{RESULTS}/cohort_report/histograms/{{shard}}.tsv", shard=SHARDS
        ),
    output:
        f"{RESULTS}/cohort_report/index.html",
    log:
        f"{LOGS}/cohort_page.log",
    benchmark:
        f"{BENCHMARKS}/cohort_page.tsv"
    conda:
        "../../envs/hounsfield.yaml"
    params:
        pathologies=literal(config["cohort"]["pathologies"]),
        config=canonical({name: config[name] for name in ("name", "preprocessing")}),
        code=code("cohort_report.py"),
    message:
        "Write the page of the cohort"
    script:
        "../../scripts/cohort_report.py"


rule cohort_report:
    input:
        f"{RESULTS}/cohort_report/index.html",
