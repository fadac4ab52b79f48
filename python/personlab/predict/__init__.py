"""Images in, people out: a network, its fields, and the decoder, over single images, lists and streams."""

from personlab.predict.prediction import Prediction
from personlab.predict.predictor import Predictor
from personlab.predict.stream import Stream

__all__ = ["Prediction", "Predictor", "Stream"]
