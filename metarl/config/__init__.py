"""Configs: every setting with its range and meaning, read from YAML and `key=value`, all faults told in one go."""

from metarl.config.load import changed, config_names, find_config, flat, load_config, to_short_yaml, to_yaml
from metarl.config.schema import (
    ALGORITHMS,
    Config,
    EnvConfig,
    EvaluationConfig,
    InnerConfig,
    MAMLConfig,
    PolicyConfig,
    ProMPConfig,
    RandomConfig,
    ReptileConfig,
    RL2Config,
    SB3Config,
    ScratchConfig,
    Section,
    WandbConfig,
    settings,
)

__all__ = [
    "ALGORITHMS", "Config", "EnvConfig", "EvaluationConfig", "InnerConfig", "MAMLConfig", "PolicyConfig",
    "ProMPConfig", "RL2Config", "RandomConfig", "ReptileConfig", "SB3Config", "ScratchConfig", "Section",
    "WandbConfig", "changed", "config_names", "find_config", "flat", "load_config", "settings", "to_short_yaml",
    "to_yaml",
]
