"""Configs: every setting with its range and meaning, read from YAML and `key=value`, all problems in one go."""

from metarl.config.load import (
    changed,
    config_names,
    find_config,
    flat,
    load_config,
    read_config,
    to_short_yaml,
    to_yaml,
)
from metarl.config.schema import (
    AlgorithmConfig,
    Config,
    EnvConfig,
    EvaluationConfig,
    InnerConfig,
    PolicyConfig,
    SB3Config,
    WandbConfig,
    settings,
)
from metarl.config.section import Section

__all__ = [
    "AlgorithmConfig", "Config", "EnvConfig", "EvaluationConfig", "InnerConfig", "PolicyConfig", "SB3Config", "Section",
    "WandbConfig", "changed", "config_names", "find_config", "flat", "load_config", "read_config", "settings",
    "to_short_yaml", "to_yaml",
]
