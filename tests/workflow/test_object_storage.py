"""Tables and results in a bucket: an S3 server on this machine, with the plug-ins of envs/cloud.txt."""

from pathlib import Path

import pytest
import yaml

boto3 = pytest.importorskip("boto3", reason="envs/cloud.txt is not installed")
pytest.importorskip("snakemake_storage_plugin_s3", reason="envs/cloud.txt is not installed")
moto = pytest.importorskip("moto.server", reason="envs/cloud.txt is not installed")

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

DATASET = "results/tiny/cohort/dataset.tsv"


@pytest.fixture
def bucket(finished):
    """A client of a server whose bucket holds the finished run's tables, and Snakemake's arguments for it."""
    server = moto.ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    keys = {"aws_access_key_id": "user", "aws_secret_access_key": "secret"}
    client = boto3.client("s3", endpoint_url=address, region_name="us-east-1", **keys)
    client.create_bucket(Bucket="cohort")
    for name in ("labels", "metadata"):
        client.upload_file(str(finished.results(f"demo/{name}.csv")), "cohort", f"{name}.csv")
    settings = {"endpoint-url": address, "access-key": "user", "secret-key": "secret"}
    yield client, [word for name, value in settings.items() for word in (f"--storage-s3-{name}", value)]
    server.stop()


@pytest.fixture
def project(new_project, finished):
    """The finished run's volumes as a user's own, with tables that lie in the bucket."""
    config = yaml.safe_load(yaml.safe_dump(finished.config))
    del config["demo"]
    tables = {name: [f"s3://cohort/{name}.csv"] for name in ("labels", "metadata")}
    config["cohort"] |= {"volumes": str(finished.results("demo/volumes"))} | tables
    return new_project(config)


def test_tables_are_fetched_and_a_new_one_is_seen(bucket, project, finished):
    client, arguments = bucket
    project.run(DATASET, *arguments)
    assert (project.folder / DATASET).read_bytes() == finished.results("cohort/dataset.tsv").read_bytes()
    assert "Nothing to be done" in project.run(DATASET, "-n", *arguments)
    rows = Path(finished.results("demo/labels.csv")).read_text().splitlines(keepends=True)
    client.put_object(Bucket="cohort", Key="labels.csv", Body="".join(rows[:-1]).encode())
    project.run(DATASET, *arguments)
    assert len((project.folder / DATASET).read_text().splitlines()) == len(rows) - 1


def test_a_whole_run_leaves_its_results_in_the_bucket(bucket, project, finished):
    client, arguments = bucket
    project.config["checkpoints"] = "checkpoints"
    del project.config["models"]["resnet"]  # each job asks the server for its files: one model is long enough
    arguments += ["--default-storage-provider", "s3", "--default-storage-prefix", "s3://cohort"]
    project.run(*arguments)
    for path in ("cohort/dataset.tsv", "metrics/vit/seed0/overall.tsv", "metrics/vit/seed0/per_pathology.tsv"):
        body = client.get_object(Bucket="cohort", Key=f"results/tiny/{path}")["Body"].read()
        assert body == finished.results(path).read_bytes(), path
    assert client.head_object(Bucket="cohort", Key="results/tiny/report/index.html")["ContentLength"] > 1e5
    assert (project.folder / "checkpoints/tiny/vit/seed0/last.pth").exists()


def test_jobs_for_kubernetes_are_planned(bucket, project, tmp_path):
    """No cluster here: the profile with its plug-ins, as far as a dry run goes."""
    _, arguments = bucket
    project.executor = ()
    volume = ("--kubernetes-persistent-volumes", f"claim:{tmp_path}", "--container-image", "hounsfield")
    profile = ("--workflow-profile", "workflow/profiles/kubernetes", "--default-storage-prefix", "s3://cohort")
    planned = project.would_run(*profile, *volume, *arguments)
    assert "Train vit, seed 0, for tiny" in planned and "Match tables with volumes, and split the patients" in planned
