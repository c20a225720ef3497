from plainfilm.config.data import DataConfig, PhantomConfig
from plainfilm.config.evaluate import EvaluateConfig
from plainfilm.config.experiment import OPTIONS, ExperimentConfig, experiment_file, load_config, make_config
from plainfilm.config.keys import PANELS, ConfigOption, Option
from plainfilm.config.model import ModelConfig
from plainfilm.config.other_options import DEVICES, NUMBER, OTHER_OPTIONS
from plainfilm.config.train import SPEED_SWITCHES, Phase, SpeedConfig, TrainConfig, phases_of

__all__ = [
    "DEVICES", "NUMBER", "OPTIONS", "OTHER_OPTIONS", "PANELS", "SPEED_SWITCHES", "ConfigOption", "DataConfig", "EvaluateConfig", "ExperimentConfig",
    "ModelConfig", "Option", "PhantomConfig", "Phase", "SpeedConfig", "TrainConfig", "experiment_file", "load_config",
    "make_config", "phases_of",
]  # fmt: skip
