"""The paper's recipe in Keras 3: image_dataset_from_directory, augmentation layers, Adam, model.fit.

Runs in a separate environment (requirements-keras.txt), since TensorFlow and the project pin different libraries.
"""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from contestants import serve


class KerasPaper:
    """Three convolution blocks and two dense layers, as published."""

    def __init__(self, folder: Path, size_px: int, bs: int) -> None:
        import keras
        from keras import layers

        def read(part: str) -> object:
            return keras.utils.image_dataset_from_directory(
                folder / part, image_size=(size_px, size_px), batch_size=bs, shuffle=part == "train", verbose=False
            )

        self.train, self.valid = read("train"), read("valid")
        self.images = sum(len(list((folder / "train" / label).iterdir())) for label in os.listdir(folder / "train"))
        blocks: list[object] = [
            layers.Rescaling(1 / 255), layers.RandomRotation(0.03), layers.RandomZoom(0.1), layers.RandomContrast(0.2),
        ]  # fmt: skip
        for filters in (16, 32, 64):
            blocks += [layers.Conv2D(filters, 5, activation="relu"), layers.MaxPooling2D(), layers.Dropout(0.2)]
        blocks += [layers.Flatten(), layers.Dense(128, "relu"), layers.Dropout(0.5), layers.Dense(2)]
        self.model = keras.Sequential([layers.Input((size_px, size_px, 3)), *blocks])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.model.compile(optimizer=keras.optimizers.Adam(1e-4), loss=loss, metrics=["accuracy"])

    def block(self) -> None:
        self.model.fit(self.train, validation_data=self.valid, epochs=1, verbose=0)


if __name__ == "__main__":
    serve({"keras": KerasPaper})
