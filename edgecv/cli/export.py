"""`edgecv export`: a run's model, ready to leave."""

import json
import shlex
import shutil
from pathlib import Path

import click

from edgecv.cli.command import option
from edgecv.cli.options import json_option

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("run", type=PATH)
@option("-o", "--out", type=PATH, help="Folder for it.", show_default="RUN/export")
@option("--scheme", help="Which model: float32, int8 ...", show_default="the one the run was for")
@option("--c", "as_c", is_flag=True, help="Also as C source, for microcontrollers.")
@json_option
def export(run: Path, out: Path | None, scheme: str | None, as_c: bool, as_json: bool) -> None:
    """Put the model of RUN, its labels and its model card into a folder.

    The card says what the model is for, what it was made from, how good it is on what, and whose
    its weights are. With --c, the model is also an aligned array in NAME.c, with NAME.h.

    \b
    edgecv export runs/mobilenet_v1_075_160_int8
    edgecv export runs/mobilenet_v1_075_160_int8 --c -o firmware/model
    """
    from edgecv import report
    from edgecv.export import carray, contents
    from edgecv.export.card import card
    from edgecv.files import check_outputs, write_atomically, write_text

    contents.check_run(run)
    scheme, model = contents.model(run, report.load(run), scheme)
    labels, words, out = contents.labels(run), card(run, model, as_c), out or run / "export"
    names = ("MODEL_CARD.md", "labels.txt", model.name, f"{model.stem}.c", f"{model.stem}.h")
    read = [model, *(run / name for name in ("labels.txt", "report.json", "recipe.toml"))]
    check_outputs([out / name for name in names], read)
    files = [write_text(out / "MODEL_CARD.md", words)]
    files.append(write_text(out / "labels.txt", "".join(f"{label}\n" for label in labels)))
    files.append(out / model.name)
    with write_atomically(files[-1]) as partial:
        shutil.copyfile(model, partial)
    if as_c:
        files += carray.export(model, labels, out, model.stem)
    if as_json:
        click.echo(json.dumps({"scheme": scheme, "files": [str(file) for file in files]}))
        return
    click.echo("\n".join(f"{file.stat().st_size:>10,} bytes  {file}" for file in files))
    click.echo(f"\nRead it, and fill in what edgecv cannot know: {out / 'MODEL_CARD.md'}")
    click.echo(f"Next: edgecv evaluate {shlex.quote(str(out / model.name))} --data LABELED_FOLDER")
