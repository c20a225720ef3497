from plainfilm.config.data import DataConfig, PhantomConfig
from plainfilm.config.evaluate import EvaluateConfig
from plainfilm.config.experiment import OPTIONS, ExperimentConfig, experiment_file, load_config, make_config
from plainfilm.config.keys import PANELS, ConfigOption
from plainfilm.config.model import ModelConfig
from plainfilm.config.train import SPEED_SWITCHES, Phase, SpeedConfig, TrainConfig, phases_of

__all__ = [
    "OPTIONS", "PANELS", "SPEED_SWITCHES", "ConfigOption", "DataConfig", "EvaluateConfig", "ExperimentConfig",
    "ModelConfig", "PhantomConfig", "Phase", "SpeedConfig", "TrainConfig", "experiment_file", "load_config",
    "make_config", "phases_of",
]  # fmt: skip
