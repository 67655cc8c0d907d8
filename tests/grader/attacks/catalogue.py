"""All attacks."""

from tests.grader.attacks import framework, kernel, lying, processes, reading, resources, writing
from tests.grader.attacks.model import Attack

MODULES = (reading, lying, framework, writing, processes, kernel, resources)
ATTACKS: tuple[Attack, ...] = tuple(attack for module in MODULES for attack in module.ATTACKS)

assert len({attack.id for attack in ATTACKS}) == len(ATTACKS)
