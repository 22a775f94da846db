"""./run.sh score: the out-of-fold score of a run, or the score of a submission where the answers are known."""

from collections.abc import Sequence
from pathlib import Path

from okkhor.config import Config
from okkhor.data.tables import SUBMISSION_COLUMNS, read_csv, read_test_table
from okkhor.errors import ConfigError
from okkhor.pipeline.mistakes import write_mistakes
from okkhor.pipeline.run import Run
from okkhor.pipeline.score_details import describe_folds, print_chance, print_decisions
from okkhor.pipeline.scores import print_leaderboard, print_scores, score_table
from okkhor.scoring.submission import check_submission
from okkhor.settings import load_arguments


def main(arguments: Sequence[str]) -> None:
    config = load_arguments(arguments)
    if config.submission:
        path, root = Path(config.submission), Path(config.data.root)
        test = read_test_table(root)
        submission = read_csv(path, SUBMISSION_COLUMNS, integers=("target",))
        check_submission(submission, test, str(path))
        print_leaderboard(submission, root, test)
    elif config.run:
        score_run(config)
    else:
        raise ConfigError("score needs run=<run>, or submission=<csv> data.root=<folder with solution.csv>.")


def score_run(config: Config) -> None:
    """Print the scores of each fold, and of all folds as one set: a mean over folds would not be the metric.

    Then print what each decision rule would bring, and write tables of what the networks get wrong.
    """
    run = Run.open(config.run, config.fold)
    whole, folds = run.read_out_of_fold()
    scores = {f"fold {n}": score_table(fold.predictions)["all"] for n, fold in zip(run.folds, folds, strict=True)}
    print(f"{config.run}, out of fold, {len(whole):,} images, {describe_folds(run)}:")
    print_scores(scores | score_table(whole))
    print_chance(run.config(), whole)
    print_decisions(folds, config.decode)
    write_mistakes(run, whole, [fold.graphemes for fold in folds])
    print(f"Next: ./run.sh report run={config.run}, one page of what it gets wrong.")
