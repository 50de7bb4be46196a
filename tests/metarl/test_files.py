"""Files that are whole or not there, whoever writes them at the same time."""

import os

import pytest

from metarl.util.files import partial_of, replace


def test_two_writers_of_one_file_do_not_meet(tmp_path, monkeypatch):
    rename = os.rename

    def meanwhile(source, target):
        monkeypatch.setattr(os, "rename", rename)
        replace(tmp_path / "a.json", b"second")
        rename(source, target)

    monkeypatch.setattr(os, "rename", meanwhile)
    replace(tmp_path / "a.json", b"first")
    assert (tmp_path / "a.json").read_bytes() == b"first" and os.listdir(tmp_path) == ["a.json"]


def test_what_a_killed_writer_leaves_is_known_by_its_name(tmp_path, monkeypatch):
    def killed(source, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        replace(tmp_path / "config.yaml", b"content")
    [name] = os.listdir(tmp_path)
    assert partial_of(name) == partial_of(".config.yaml.partial") == "config.yaml"
    assert partial_of("config.yaml") is partial_of(".config.yaml") is None
