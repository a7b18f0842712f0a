"""``dp doc-train-input``: the input reference, made from the schema."""


def add_parser(subparsers):
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "doc-train-input",
        help="print the reference of the input file",
        description="Print every key of the training input with its type, default and meaning.",
    )
    parser.add_argument(
        "--out-type", choices=("rst", "json", "json_schema"), default="rst",
        help="reStructuredText; dargs arguments as JSON; or a JSON schema, which editors use for completion",
    )  # fmt: skip
    parser.add_argument("--multi-task", action="store_true", help="reference of multi-task inputs (not available)")


def run(args):
    """Print the reference on standard output."""
    from dptf.config.reference import as_json, as_json_schema, as_rst
    from dptf.errors import UserError

    if args.multi_task:
        raise UserError("multi-task training is not available in this package", "--multi-task", "leave the option out")
    print({"rst": as_rst, "json": as_json, "json_schema": as_json_schema}[args.out_type]())
