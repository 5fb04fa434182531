# From predictions to scores, intervals and comparisons. No GPU from here on, but for the saliency maps.


rule metrics:
    input:
        val=f"{NETWORKS}/predictions/{{model}}/seed{{seed}}/val.tsv",
        test=f"{RUN}/predictions/{{model}}/seed{{seed}}/test.tsv",
    output:
        per_pathology=report(
            f"{RUN}/metrics/{{model}}/seed{{seed}}/per_pathology.tsv",
            category="Metrics",
            caption="../report/metrics.rst",
            labels={
                "run": "{run}",
                "model": "{model}",
                "seed": "{seed}",
                "table": "per pathology",
            },
        ),
        overall=report(
            f"{RUN}/metrics/{{model}}/seed{{seed}}/overall.tsv",
            category="Metrics",
            caption="../report/metrics.rst",
            labels={
                "run": "{run}",
                "model": "{model}",
                "seed": "{seed}",
                "table": "overall",
            },
        ),
        operating_points=report(
            f"{RUN}/metrics/{{model}}/seed{{seed}}/operating_points.tsv",
            category="Metrics",
            caption="../report/metrics.rst",
            labels={
                "run": "{run}",
                "model": "{model}",
                "seed": "{seed}",
                "table": "operating points",
            },
        ),
    log:
        f"{RUN}/logs/metrics/{{model}}/seed{{seed}}.log",
    benchmark:
        f"{RUN}/benchmarks/metrics/{{model}}/seed{{seed}}.tsv"
    wildcard_constraints:
        model="|".join(SCORED),
    conda:
        "../../envs/hounsfield.yaml"
    params:
        evaluation=canonical(config["evaluation"]),
        pathologies=literal(config["cohort"]["pathologies"]),
        code=code("metrics.py"),
    message:
        "Score {wildcards.model}, seed {wildcards.seed}, for {wildcards.run}"
    script:
        "../../scripts/metrics.py"


rule footprint:
    input:
        best=f"{TRAINED}/models/{{model}}/seed{SEEDS[0]}/best.pth",
        dataset=f"{RESULTS}/cohort/dataset.tsv",
    output:
        report(
            f"{RESULTS}/footprints/{{model}}.tsv",
            category="Cost",
            caption="../report/footprint.rst",
            labels={"model": "{model}"},
        ),
    log:
        f"{LOGS}/footprint/{{model}}.log",
    benchmark:
        f"{BENCHMARKS}/footprint/{{model}}.tsv"
    conda:
        "../../envs/hounsfield.yaml"
    threads: config["threads"]
    resources:
        gpu=1,
        mem_mb=8000,
    params:
        code=code("footprint.py"),
    message:
        "Measure what {wildcards.model} costs to use"
    script:
        "../../scripts/footprint.py"


rule compare:
    input:
        val=expand(
            f"{TRAINED}/predictions/{{model}}/seed{{seed}}/val.tsv",
            model=SCORED,
            seed=SEEDS,
        ),
        test=expand(
            f"{RESULTS}/predictions/{{model}}/seed{{seed}}/test.tsv",
            model=SCORED,
            seed=SEEDS,
        ),
        history=expand(
            f"{TRAINED}/models/{{model}}/seed{{seed}}/history.tsv",
            model=MODELS,
            seed=SEEDS,
        ),
        folds=expand(
            f"{RUN}/predictions/{{model}}/seed{{seed}}/val.tsv",
            model=SCORED,
            seed=SEEDS,
            run=FOLDS,
        ),
        folds_test=expand(
            f"{RUN}/predictions/{{model}}/seed{{seed}}/test.tsv",
            model=SCORED,
            seed=SEEDS,
            run=FOLDS,
        ),
        internal_test=expand(
            f"{TRAINED}/predictions/{{model}}/seed{{seed}}/test.tsv",
            model=MODELS if INTERNAL else [],
            seed=SEEDS,
        ),
        footprints=expand(f"{RESULTS}/footprints/{{model}}.tsv", model=MODELS),
        metadata=f"{RESULTS}/cohort/metadata.tsv",
    output:
        report(
            directory(f"{RESULTS}/comparison"),
            patterns=["{table}.tsv", "{table}.md", "{table}.tex", "{table}.json"],
            category="Comparison",
            caption="../report/comparison.rst",
            labels={"table": "{table}"},
        ),
    log:
        f"{LOGS}/compare.log",
    benchmark:
        f"{BENCHMARKS}/compare.tsv"
    conda:
        "../../envs/hounsfield.yaml"
    params:
        models=MODELS,
        baselines=BASELINES,
        seeds=SEEDS,
        folds=len(FOLDS),
        evaluation=canonical(config["evaluation"]),
        pathologies=literal(config["cohort"]["pathologies"]),
        internal=canonical(INTERNAL),
        code=code("compare.py"),
    message:
        "Compare the models on the same resamples"
    script:
        "../../scripts/compare.py"


rule explain:
    input:
        best=f"{TRAINED}/models/{{model}}/seed{SEEDS[0]}/best.pth",
        predictions=f"{RESULTS}/predictions/{{model}}/seed{SEEDS[0]}/test.tsv",
        dataset=f"{RESULTS}/cohort/dataset.tsv",
    output:
        report(
            directory(f"{RESULTS}/explanations/{{model}}"),
            patterns=["{picture}.png", "{picture}.tsv"],
            category="Explanations",
            caption="../report/explanations.rst",
            labels={"model": "{model}", "picture": "{picture}"},
        ),
    log:
        f"{LOGS}/explain/{{model}}.log",
    benchmark:
        f"{BENCHMARKS}/explain/{{model}}.tsv"
    conda:
        "../../envs/hounsfield.yaml"
    threads: config["threads"]
    resources:
        gpu=1,
        mem_mb=8000,
    params:
        explain=canonical(config["explain"]),
        preprocessing=canonical(config["preprocessing"]),
        demo=canonical(config.get("demo", {})),
        seed=config["seed"],
        pathologies=literal(config["cohort"]["pathologies"]),
        code=code("explain.py"),
    message:
        "Show where {wildcards.model} looks"
    script:
        "../../scripts/explain.py"
