"""The kernel's code and metadata, as Kaggle wants them."""

import ast
import re

import pytest

from okkhor.kaggle.package import describe_dataset, describe_kernel, make_notebook, make_script, make_slug


@pytest.mark.parametrize("name", ["sample", "smoke@tta3", "A_b.C-" + "9" * 90, "অক্ষর", "---"])
def test_a_slug_is_what_kaggle_makes_of_the_title(name: str) -> None:
    slug = make_slug(name)
    dataset, kernel = describe_dataset("me", slug), describe_kernel("me", slug, "predict.ipynb")
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug)
    for metadata in (dataset, kernel):
        assert metadata["id"] == f"me/{slug}"
        assert re.sub("[^a-z0-9]+", "-", metadata["title"].lower()) == slug
        assert 6 <= len(metadata["title"]) <= 50
    assert kernel["dataset_sources"] == [dataset["id"]]
    assert kernel["enable_internet"] is False
    assert kernel["machine_shape"] == "NvidiaTeslaT4"
    assert describe_dataset("", slug)["id"] == f"INSERT_USER_HERE/{slug}"


def test_the_notebook_is_valid_and_has_the_scripts_code() -> None:
    nbformat = pytest.importorskip("nbformat")
    notebook = make_notebook("sample")
    nbformat.validate(notebook)
    (code,) = [cell["source"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
    module = ast.parse(make_script("sample"))
    assert ast.dump(ast.Module(module.body[1:], [])) == ast.dump(ast.Module(ast.parse(code).body, []))
