"""The pages of --help: every option stands under a heading, once, and fits the page."""

import click
import pytest

from gatys_lab import cli
from gatys_lab.cli._page import PAGE, WIDTH, Page, word

COMMANDS = {
    name: command
    for name in cli.group.list_commands(None)
    if isinstance(command := cli.group.get_command(None, name), Page)
}
WORDS = [name for names in PAGE.values() for name in names.split()]


def page(name):
    command = COMMANDS[name]
    with click.Context(cli.group, info_name="gatys-lab") as above:
        ctx = command.make_context(name, ["x"], parent=above, resilient_parsing=True, terminal_width=WIDTH)
        return ctx, command.get_help(ctx)


def test_the_commands_of_the_engine_have_a_page():
    assert {"stylize", "texture", "reconstruct", "compare", "fast", "video", "replay"} <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_stands_under_a_heading_and_says_what_it_does(name):
    ctx, text = page(name)
    for option in COMMANDS[name].get_params(ctx):
        if isinstance(option, click.Option):
            assert WORDS.count(word(option)) == 1, f"no place for --{word(option)} in cli/_page.PAGE"
            assert option.help and sum(f"--{word(option)} " in f"{line} " for line in text.splitlines()) >= 1
    assert "Options:" not in text and "RANGE" not in text


def test_no_heading_stands_for_nothing():
    used = {
        word(o)
        for name, command in COMMANDS.items()
        for o in command.get_params(page(name)[0])
        if isinstance(o, click.Option)
    }
    assert set(WORDS) <= used, "words of the page that no command has"


def test_the_first_page_reads_in_order():
    _, text = page("stylize")
    wanted = ["The picture:", "Style:", "Content:", "Colour:", "How it is optimised:", "Network and machine:",
              "Runs you can trust:", "Watching:"]  # fmt: skip
    places = [text.index(heading) for heading in wanted]
    assert places == sorted(places)
    assert "  -o, --out FILE" in text and "[default: 512]" in text and "luma|chroma" in text
    assert max(map(len, text.splitlines())) <= WIDTH + 10  # examples are not broken
