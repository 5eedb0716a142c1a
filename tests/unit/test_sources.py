"""What no module may do, looked for in the sources: run code that stored bytes hold, or read secrets on the way."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PICKLES = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
WHITELISTING_READER = "include/retraining/embedding/networks/torch_weights.py"
UNSAFE_CALLS = {"eval", "exec", "read_pickle", "enable_unsafe_deserialization", "unsafe_load", "full_load"}
LOADERS = {"SafeLoader", "CSafeLoader", "BaseLoader"}
SOURCES = sorted(path for folder in ("include", "plugins", "dags") for path in (ROOT / folder).rglob("*.py"))


def unsafe_in(source: str) -> list[str]:
    """What in a module could run code from data, with its line."""
    tree = ast.parse(source)
    safe_loaders = LOADERS | {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and {_name(base) for base in node.bases} & LOADERS
    }
    return [f"{node.lineno}: {what}" for node in ast.walk(tree) for what in _unsafe(node, safe_loaders)]


def _unsafe(node: ast.AST, safe_loaders: set[str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (f"import {it.name}" for it in node.names if it.name.partition(".")[0] in PICKLES)
    if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in PICKLES:
        yield f"import {node.module}"
    if isinstance(node, ast.Call):
        yield from _unsafe_call(node, safe_loaders)


def _unsafe_call(call: ast.Call, safe_loaders: set[str]) -> Iterator[str]:
    name, owner = _name(call.func), _name(call.func.value) if isinstance(call.func, ast.Attribute) else ""
    given = {it.arg: it.value for it in call.keywords}
    constants = {key: it.value if isinstance(it, ast.Constant) else ... for key, it in given.items()}
    if constants.get("allow_pickle", False) is not False:
        yield "allow_pickle"
    if constants.get("safe_mode", True) is not True:
        yield "safe_mode"
    if constants.get("weights_only", True) is not True or (owner, name) == ("torch", "load"):
        yield "torch.load"
    if name == "load_model" and "safe_mode" not in given:
        yield "load_model without safe_mode"
    if name in UNSAFE_CALLS:
        yield name
    if owner == "yaml" and name in ("load", "load_all"):
        loaders = [*call.args[1:], *(value for key, value in given.items() if key == "Loader")]
        if not loaders or not {_name(it) for it in loaders} <= safe_loaders:
            yield "yaml.load"


def _name(node: ast.AST) -> str:
    """The last part of a dotted name."""
    return getattr(node, "attr", getattr(node, "id", ""))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_runs_code_that_stored_bytes_hold_but_the_reader_that_knows_every_global(path):
    found = unsafe_in(path.read_text(encoding="utf-8"))

    if path.relative_to(ROOT).as_posix() == WHITELISTING_READER:
        assert [it.partition(": ")[2] for it in found] == ["import pickle"]
    else:
        assert found == []


def test_the_environment_which_holds_secrets_is_read_where_settings_are_read_and_nowhere_else():
    reading = {
        path.relative_to(ROOT).as_posix()
        for path in SOURCES
        if any(_name(node) in ("environ", "getenv") for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    }

    assert reading == {
        "include/orchestration/settings.py",
        "include/retraining/command_line/environment.py",
        "include/retraining/command_line/main.py",
        "include/retraining/intake/inspection/inspectors.py",  # sets what its own processes start with
    }


def test_the_modules_that_read_stored_bytes_are_among_those_looked_at():
    names = {path.relative_to(ROOT).as_posix() for path in SOURCES}

    assert WHITELISTING_READER in names
    assert {"include/retraining/training/keras_file.py", "dags/retrain.py"} <= names
    assert any(name.startswith("plugins/") for name in names)


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "import pickle as harmless",
        "def f():\n    from pickle import loads",
        "import joblib.numpy_pickle",
        "np.load(file, allow_pickle=True)",
        "np.load(file, allow_pickle=wanted)",
        "torch.load(file)",
        "keras.saving.load_model(path, safe_mode=False)",
        "keras.saving.load_model(path)",
        "keras.config.enable_unsafe_deserialization()",
        "pd.read_pickle(path)",
        "yaml.load(text)",
        "yaml.load(text, yaml.Loader)",
        "yaml.load(text, Loader=yaml.UnsafeLoader)",
        "yaml.unsafe_load(text)",
        "class Mine(yaml.Loader): ...\nyaml.load(text, Mine)",
        "eval(text)",
    ],
)
def test_each_way_to_run_such_code_is_found(line):
    assert len(unsafe_in(line)) == 1


@pytest.mark.parametrize(
    "line",
    [
        "np.load(file, allow_pickle=False)",
        "yaml.safe_load(text)",
        "class Mine(yaml.SafeLoader): ...\nyaml.load(text, Mine)",
        "keras.saving.load_model(path, safe_mode=True)",
        "'import pickle'",
        "tf.saved_model.load(folder)",
    ],
)
def test_what_runs_none_is_not(line):
    assert unsafe_in(line) == []
