from plainfilm.config.experiment import ExperimentConfig, experiment_file, load_config, make_config
from plainfilm.config.sections import (
    SPEED_SWITCHES,
    DataConfig,
    EvaluateConfig,
    ModelConfig,
    PhantomConfig,
    Phase,
    SpeedConfig,
    TrainConfig,
    phases_of,
)

__all__ = [
    "SPEED_SWITCHES", "DataConfig", "EvaluateConfig", "ExperimentConfig", "ModelConfig", "PhantomConfig", "Phase",
    "SpeedConfig", "TrainConfig", "experiment_file", "load_config", "make_config", "phases_of",
]  # fmt: skip
