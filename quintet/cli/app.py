"""The application: which commands there are, and in what order help shows them."""

from __future__ import annotations

from typing import Annotated

import typer

from quintet.cli import (
    answer,
    consume,
    data,
    doctor,
    evaluate,
    finetune,
    journal,
    keys,
    pretrain,
    recommend,
    related,
    serve,
    settings,
    slate,
    train,
    tune,
    update,
    vectors,
)

app = typer.Typer(
    help="One model that profiles, represents, predicts, ranks and chooses the strategy.",
    epilog="Exit codes: 0 done, 2 usage or settings, 3 data, 4 unknown id, 5 not fitted, 6 bundle, "
    "7 checkpoint, 8 source, 9 optional dependency, 10 request refused, 11 journal. "
    "QUINTET_DEBUG=1 shows tracebacks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"quintet {version('quintet')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[  # noqa: ARG001  answered by its callback
        bool,
        typer.Option(
            "--version", metavar="", callback=_version, is_eager=True, help="Show the version."
        ),
    ] = False,
) -> None:
    return


app.add_typer(data.app, name="data", rich_help_panel="Prepare")
app.command(rich_help_panel="Prepare", epilog=settings.EXAMPLES)(settings.settings)
app.command(rich_help_panel="Train and measure", epilog=train.EXAMPLES)(train.train)
app.command(rich_help_panel="Train and measure", epilog=pretrain.EXAMPLES)(pretrain.pretrain)
app.command(rich_help_panel="Train and measure", epilog=finetune.EXAMPLES)(finetune.finetune)
app.command(rich_help_panel="Train and measure", epilog=tune.EXAMPLES)(tune.tune)
app.command(rich_help_panel="Train and measure", epilog=update.EXAMPLES)(update.update)
app.command(rich_help_panel="Train and measure", epilog=evaluate.EXAMPLES)(evaluate.evaluate)
app.command(rich_help_panel="Ask", epilog=recommend.EXAMPLES)(recommend.recommend)
app.command(rich_help_panel="Ask", epilog=answer.PREDICT_EXAMPLES)(answer.predict)
app.command(rich_help_panel="Ask", epilog=answer.PROFILE_EXAMPLES)(answer.profile)
app.command(rich_help_panel="Ask", epilog=answer.SIMILAR_EXAMPLES)(answer.similar)
app.command(rich_help_panel="Ask", epilog=related.SESSION_EXAMPLES)(related.session)
app.command(rich_help_panel="Ask", epilog=related.TOGETHER_EXAMPLES)(related.together)
app.command(rich_help_panel="Ask", epilog=related.BASKET_EXAMPLES)(related.basket)
app.command(rich_help_panel="Ask", epilog=slate.SLATE_EXAMPLES)(slate.slate)
app.command(rich_help_panel="Ask", epilog=slate.RULES_EXAMPLES)(slate.rules)
app.command(rich_help_panel="Ask", epilog=vectors.EXAMPLES)(vectors.export_vectors)
app.command(rich_help_panel="Serve", epilog=serve.EXAMPLES)(serve.serve)
app.command(rich_help_panel="Serve", epilog=consume.EXAMPLES)(consume.consume)
app.add_typer(journal.app, name="journal", rich_help_panel="Serve")
app.add_typer(keys.app, name="keys", rich_help_panel="Serve")
app.command(rich_help_panel="Help", epilog=doctor.EXAMPLES)(doctor.doctor)
