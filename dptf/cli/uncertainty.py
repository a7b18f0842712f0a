"""``dp uncertainty``: give a frozen model an uncertainty of its forces."""

import logging

log = logging.getLogger(__name__)


def add_parser(subparsers):
    """Add the subcommand."""
    parser = subparsers.add_parser("uncertainty", help="give a frozen model an uncertainty of its forces")
    parser.add_argument("-m", "--model", default="frozen_model", help="frozen energy model")
    parser.add_argument("-o", "--output", default="frozen_model_uncertainty", help="model to write")
    parser.add_argument("-t", "--train-data", nargs="+", required=True, metavar="SYSTEM",
                        help="training systems, or the input file that names them")  # fmt: skip
    parser.add_argument("-c", "--valid-data", nargs="+", metavar="SYSTEM",
                        help="systems for the calibration; by default the validation systems of the input file")  # fmt: skip
    parser.add_argument("-r", "--report-data", nargs="+", metavar="SYSTEM",
                        help="systems on which the quality is told; by default half of the calibration data is left for it")  # fmt: skip
    parser.add_argument("--plot", metavar="FILE", help="draw predicted against observed deviations (.png, .pdf, .svg)")
    parser.add_argument("--json", metavar="FILE", help="write the numbers to this file too")


def run(args):
    """Fit, calibrate, write, report."""
    import json

    from dptf.cli.model_files import model_file
    from dptf.errors import UserError
    from dptf.infer.labelled import find_systems
    from dptf.infer.uncertainty import draw, fit_uncertainty

    def systems(names, option):
        if len(names) == 1 and names[0].endswith((".json", ".yaml", ".yml")):
            return find_systems(**{option: names[0]})
        return [p for name in names for p in find_systems(name)]

    training = systems(args.train_data, "train_json")
    valid = args.valid_data or (args.train_data if args.train_data[0].endswith((".json", ".yaml", ".yml")) else None)
    if valid is None:
        raise UserError(
            "are missing", "-c/--valid-data", "an uncertainty is calibrated on data that were not trained on"
        )
    validation = systems(valid, "valid_json")
    output = args.output if args.output.lower().endswith(".pb") else args.output + ".pb"
    report = systems(args.report_data, "valid_json") if args.report_data else None
    result = fit_uncertainty(model_file(args.model), output, training, validation, report)
    log.info("wrote %s", output)
    log.info("calibration on %d atoms: deviation = sqrt((%.4g std)^2 + %.4g^2 + (%.4g force)^2) eV/Å; ridge %g, exponent %g "
             "within %g Å", *(result[k] for k in ("atoms", "scale", "floor", "share", "ridge", "exponent", "cutoff")))  # fmt: skip
    log.info("on the %d atoms held out:", result["atoms_held_out"])
    log.info("negative log-likelihood per force component: %.4f (one deviation for all: %.4f)", result["nll"],
             result["nll_constant"])  # fmt: skip
    log.info("rank correlation of deviation and force error: %.3f", result["spearman"])
    log.info("predicted -> observed [eV/Å]: %s", ", ".join(f"{p:.3g} -> {o:.3g}" for p, o in result["bins"]))
    if args.plot:
        draw(result, args.plot)
    if args.json:
        with open(args.json, "w") as file:
            json.dump(result, file, indent=1)
