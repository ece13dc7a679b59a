"""The paper's four algorithms, and all that distinguishes them (paper, 3.1 to 3.3, Table 1).

            network        last kernel       rest             outer loss
    rcig    linearised     closed form       solved for       cross-entropy, Platt-scaled
    cig     linearised     solved for        solved for       squared error
    vig     as it is       solved for        solved for       squared error
    frepo   linearised     closed form       stays            squared error

What is solved for is theta, an offset from theta_0; v = H^-1 dL_out/dtheta carries its dependence on psi.
A last kernel in closed form follows theta and psi at once, so that a direct gradient comes in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Algorithm = Literal["rcig", "cig", "vig", "frepo"]
OuterLoss = Literal["platt", "squared_error"]


@dataclass(frozen=True)
class Member:
    """What one algorithm is made of.

    Attributes
    ----------
    linearized
        Whether the inner problem is posed on the network linearised at theta_0, and so a quadratic.
    closed_form
        Whether the last kernel is solved for in closed form.
    solves
        Whether anything else is solved for.
    outer
        The loss on real images, by its name in `outer.LOSSES`.
    """

    linearized: bool
    closed_form: bool
    solves: bool
    outer: OuterLoss


FAMILY: Mapping[Algorithm, Member] = {
    "rcig": Member(linearized=True, closed_form=True, solves=True, outer="platt"),
    "cig": Member(linearized=True, closed_form=False, solves=True, outer="squared_error"),
    "vig": Member(linearized=False, closed_form=False, solves=True, outer="squared_error"),
    "frepo": Member(linearized=True, closed_form=True, solves=False, outer="squared_error"),
}
