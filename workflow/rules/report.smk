# One self-contained page.


rule report_page:
    input:
        summary=f"{RESULTS}/cohort/summary.tsv",
        excluded=f"{RESULTS}/cohort/excluded.tsv",
        comparison=f"{RESULTS}/comparison",
        explanations=expand(f"{RESULTS}/explanations/{{model}}", model=MODELS),
        metrics=expand(
            f"{RUN}/metrics/{{model}}/seed{{seed}}/{{table}}.tsv",
            run=RUNS,
            model=SCORED,
            seed=SEEDS,
            table=["per_pathology", "overall"],
        ),
        history=expand(
            f"{TRAINED}/models/{{model}}/seed{{seed}}/history.tsv",
            model=MODELS,
            seed=SEEDS,
        ),
        predictions=expand(
            f"{RESULTS}/predictions/{{model}}/seed{{seed}}/test.tsv",
            model=SCORED,
            seed=SEEDS,
        ),
    output:
        report(
            f"{RESULTS}/report/index.html",
            category="Report",
            caption="../report/page.rst",
        ),
    log:
        f"{LOGS}/report.log",
    benchmark:
        f"{BENCHMARKS}/report.tsv"
    conda:
        "../../envs/hounsfield.yaml"
    params:
        config=canonical(config),
        written=WRITTEN,
        models=MODELS,
        seeds=SEEDS,
        code=code("report.py"),
    message:
        "Write the report"
    script:
        "../../scripts/report.py"
