# Search for better settings, on validation: `snakemake tuning`. Nothing of `all` depends on it, and it changes none of it.


rule tuning:
    input:
        expand(f"{RESULTS}/tuning/{{model}}/index.html", model=MODELS),


# The trials lie undeclared beside the output, so that a search that was killed goes on.
rule tune:
    input:
        dataset=f"{RESULTS}/cohort/dataset.tsv",
    output:
        f"{RESULTS}/tuning/{{model}}/workers/{{worker}}.tsv",
    log:
        f"{LOGS}/tune/{{model}}/worker{{worker}}.log",
    benchmark:
        f"{BENCHMARKS}/tune/{{model}}/worker{{worker}}.tsv"
    wildcard_constraints:
        worker=r"\d+",
    conda:
        "../../envs/hounsfield.yaml"
    threads: config["threads"]
    resources:
        gpu=1,
        mem_mb=16000,
        runtime=1440,
    params:
        search=search_settings,
    message:
        "Search for better settings of {wildcards.model}, worker {wildcards.worker}"
    script:
        "../../scripts/tune.py"


rule tuned:
    input:
        dataset=f"{RESULTS}/cohort/dataset.tsv",
        workers=tuning_workers,
    output:
        trials=report(
            f"{RESULTS}/tuning/{{model}}/trials.tsv",
            category="Tuning",
            caption="../report/tuning.rst",
            labels={"model": "{model}", "file": "trials"},
        ),
        best=f"{RESULTS}/tuning/{{model}}/best.yaml",
        page=report(
            f"{RESULTS}/tuning/{{model}}/index.html",
            category="Tuning",
            caption="../report/tuning.rst",
            labels={"model": "{model}", "file": "page"},
        ),
    log:
        f"{LOGS}/tuned/{{model}}.log",
    benchmark:
        f"{BENCHMARKS}/tuned/{{model}}.tsv"
    conda:
        "../../envs/hounsfield.yaml"
    params:
        search=search_settings,
        code=code("tuned.py"),
    message:
        "Write down what the search for {wildcards.model} found"
    script:
        "../../scripts/tuned.py"
