"""`gatys-lab doctor`."""

import click

MARKS = {True: "ok", False: "BAD", None: ""}


@click.command(short_help="Tell what this machine has, and whether it works.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def command(debug: bool) -> int:
    """Versions, devices, precision, weights and where they are, and a self-test of some seconds.

    The exit status is 1 if something is bad.
    """
    from gatys_lab.doctor import examine

    status = 0
    for finding in examine():
        status |= finding.fine is False
        click.echo(f"{MARKS[finding.fine]:3} {finding.what:18} {' '.join(finding.text.split())}")
    return int(status)
