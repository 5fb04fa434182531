# From tables and files to a dataset of stored volumes.

if "demo" in config:

    rule demo_cohort:
        output:
            volumes=directory(f"{RESULTS}/demo/volumes"),
            labels=f"{RESULTS}/demo/labels.csv",
            metadata=f"{RESULTS}/demo/metadata.csv",
        log:
            f"{LOGS}/demo_cohort.log",
        benchmark:
            f"{BENCHMARKS}/demo_cohort.tsv"
        conda:
            "../../envs/hounsfield.yaml"
        threads: 8
        params:
            demo=canonical(config["demo"]),
            seed=config["seed"],
            code=code("demo_cohort.py"),
        message:
            "Paint a cohort of chest phantoms"
        script:
            "../../scripts/demo_cohort.py"


# A checkpoint, so that only the shards whose tables it changed run again.
checkpoint manifest:
    input:
        labels=user_tables("labels"),
        metadata=user_tables("metadata"),
        exclude=user_tables("exclude"),
        label_mapping=user_tables("label_mapping"),
        volumes=config["cohort"]["volumes"] if "demo" in config else [],
    output:
        manifest=f"{RESULTS}/cohort/manifest.tsv",
        unmatched=f"{RESULTS}/cohort/unmatched.tsv",
        metadata=f"{RESULTS}/cohort/metadata.tsv",
        shards=expand(f"{RESULTS}/cohort/shards/{{shard}}.tsv", shard=SHARDS),
    log:
        f"{LOGS}/manifest.log",
    benchmark:
        f"{BENCHMARKS}/manifest.tsv"
    conda:
        "../../envs/hounsfield.yaml"
    threads: 8
    params:
        cohort=canonical(config["cohort"]),
        split=canonical(config["split"]),
        seed=config["seed"],
        code=code("manifest.py"),
    message:
        "Match tables with volumes, and split the patients"
    script:
        "../../scripts/manifest.py"


rule preprocess:
    input:
        shard_table,
    output:
        f"{RESULTS}/cohort/stored/{{shard}}.tsv",
    log:
        f"{LOGS}/preprocess/{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/preprocess/{{shard}}.tsv"
    conda:
        "../../envs/hounsfield.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        preprocessing=canonical(config["preprocessing"]),
        code=code("preprocess.py"),
    message:
        "Put the volumes of shard {wildcards.shard} into the store"
    script:
        "../../scripts/preprocess.py"


rule dataset:
    input:
        manifest=f"{RESULTS}/cohort/manifest.tsv",
        unmatched=f"{RESULTS}/cohort/unmatched.tsv",
        stored=expand(f"{RESULTS}/cohort/stored/{{shard}}.tsv", shard=SHARDS),
        internal=internal_cohort(),
    output:
        dataset=f"{RUN}/cohort/dataset.tsv",
        excluded=report(
            f"{RUN}/cohort/excluded.tsv",
            category="Cohort",
            caption="../report/excluded.rst",
            labels={"run": "{run}"},
        ),
        summary=report(
            f"{RUN}/cohort/summary.tsv",
            category="Cohort",
            caption="../report/summary.rst",
            labels={"run": "{run}"},
        ),
    log:
        f"{RUN}/logs/dataset.log",
    benchmark:
        f"{RUN}/benchmarks/dataset.tsv"
    conda:
        "../../envs/hounsfield.yaml"
    params:
        cohort=canonical(config["cohort"]),
        split=canonical(without(config["split"], "fold")),
        fold=lambda wildcards: RUNS[wildcards.run],
        code=code("dataset.py"),
    message:
        "Check the splits and write the dataset of {wildcards.run}"
    script:
        "../../scripts/dataset.py"
