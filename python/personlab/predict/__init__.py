"""Prediction of people in single images, lists and streams."""

from personlab.predict.boxes import Boxed
from personlab.predict.prediction import Prediction
from personlab.predict.predictor import Predictor
from personlab.predict.stream import Stream

__all__ = ["Boxed", "Prediction", "Predictor", "Stream"]
