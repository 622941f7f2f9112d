"""Invertible maps, and the laws made of them."""

from pushforward.flows.actnorm import ActNorm
from pushforward.flows.affine import Affine
from pushforward.flows.bijection import Bijection, Chain
from pushforward.flows.estimator import with_log_det
from pushforward.flows.flow import Flow
from pushforward.flows.implicit import ImplicitBlock
from pushforward.flows.labelled_shift import LabelledShift, log_prob_given_labels, sample_given_labels
from pushforward.flows.logit import Logit
from pushforward.flows.ode import ODEBijection, with_solver
from pushforward.flows.radial import Radial
from pushforward.flows.residual import ResidualBlock
from pushforward.flows.squeeze import Squeeze
from pushforward.flows.storage import load_flow, save_flow
from pushforward.flows.zuko_flow import ZukoFlow

__all__ = [
    "ActNorm",
    "Affine",
    "Bijection",
    "Chain",
    "Flow",
    "ImplicitBlock",
    "LabelledShift",
    "Logit",
    "ODEBijection",
    "Radial",
    "ResidualBlock",
    "Squeeze",
    "ZukoFlow",
    "load_flow",
    "log_prob_given_labels",
    "sample_given_labels",
    "save_flow",
    "with_log_det",
    "with_solver",
]
