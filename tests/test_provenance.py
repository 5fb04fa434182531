import shutil

import pytest

from hounsfield import provenance

FILES = {
    "train.py": "from hounsfield.training.trainer import train_model\n",
    "metrics.py": "from hounsfield.evaluation.metrics import compute_metrics\n",
    "hounsfield/__init__.py": "",
    "hounsfield/training/__init__.py": "from hounsfield.training.trainer import train_model\n",
    "hounsfield/training/trainer.py": "def train_model():\n    from hounsfield.training import losses\n    return 1\n",
    "hounsfield/training/losses.py": "WEIGHT = 1\n",
    "hounsfield/evaluation/__init__.py": "",
    "hounsfield/evaluation/metrics.py": "def compute_metrics():\n    'What it does.'\n    return 1\n",
    "hounsfield/report/__init__.py": "",
    "hounsfield/report/page.py": "TEMPLATE = 'page.html'\n",
    "hounsfield/report/pictures.py": "WIDTH = 3\n",
    "hounsfield/report/page.html": "{% include 'table.html' %}",
    "hounsfield/report/table.html": "<table>",
    "report.py": "from hounsfield.report.page import TEMPLATE\n",
    "explain.py": "from hounsfield.report.pictures import WIDTH\n",
    "hounsfield/models/__init__.py": "",
    "hounsfield/models/resnet3d.py": "DEPTH = 10\n",
}


@pytest.fixture
def library(tmp_path, monkeypatch):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(provenance, "LIBRARY", tmp_path / "hounsfield")
    yield tmp_path
    shutil.rmtree(tmp_path)


def forget():
    for cached in (provenance._imports, provenance._templates, provenance._tree_digest):
        cached.cache_clear()


def digests(library):
    forget()
    train = provenance.code_digest(library / "train.py", ("hounsfield.models.resnet3d",))
    return train, provenance.code_digest(library / "metrics.py")


@pytest.mark.parametrize(
    ("name", "old", "new", "train_changes", "metrics_changes"),
    [
        ("hounsfield/training/losses.py", "1", "2", True, False),
        ("hounsfield/models/resnet3d.py", "10", "18", True, False),
        ("hounsfield/evaluation/metrics.py", "return 1", "return 2", False, True),
        ("hounsfield/training/trainer.py", "def", "# a comment\ndef", False, False),
        ("hounsfield/evaluation/metrics.py", "'What it does.'", "'Something else.'", False, False),
        ("hounsfield/training/__init__.py", "from", "import os\nfrom", False, False),
        ("train.py", "train_model\n", "train_model\nprint(1)\n", True, False),
    ],
)
def test_an_edit_changes_the_digest_of_those_who_import_it(library, name, old, new, train_changes, metrics_changes):
    train, metrics = digests(library)
    path = library / name
    path.write_text(path.read_text().replace(old, new))
    new_train, new_metrics = digests(library)
    assert (new_train != train, new_metrics != metrics) == (train_changes, metrics_changes)


def test_an_edit_of_a_template_changes_the_digest_of_those_who_write_the_page(library):
    before = [provenance.code_digest(library / name) for name in ("report.py", "explain.py")]
    (library / "hounsfield/report/table.html").write_text("<table class='wide'>")
    forget()
    after = [provenance.code_digest(library / name) for name in ("report.py", "explain.py")]
    assert [one != other for one, other in zip(before, after, strict=True)] == [True, False]


def test_packages_hold_nothing_but_imports_so_that_skipping_them_is_sound():
    import ast
    from pathlib import Path

    for path in Path(provenance.__file__).parent.rglob("__init__.py"):
        for node in ast.parse(path.read_text()).body:
            docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            names = isinstance(node, ast.Assign) and ast.unparse(node).startswith("__getattr__, __all__ = lazy_names(")
            assert docstring or names or isinstance(node, ast.ImportFrom), f"{path}: {ast.unparse(node)}"
