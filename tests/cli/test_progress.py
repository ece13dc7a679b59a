"""The time left on the progress bar of a resumed run."""

import io

from rich.console import Console as RichConsole
from rich.progress import Progress

from rcig_cli.cli.console import Console


def test_steps_done_before_do_not_count_for_the_speed():
    now = [0.0]
    console = Console()
    console._bar = Progress(console=RichConsole(file=io.StringIO()), get_time=lambda: now[0])
    for now[0], done in ((0.0, 900), (10.0, 950), (20.0, 975)):
        console.progress("writing", done, 1000)
    (task,) = console._bar.tasks
    assert (task.completed, task.total) == (975, 1000)
    assert task.speed == 2.5
    assert task.time_remaining == 10
