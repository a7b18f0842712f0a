"""Which ops a graph file may contain.

A TensorFlow graph is a program: it can read and write files, open connections and call Python. A model file comes
from elsewhere, so only ops that compute numbers from numbers are let through; everything else is refused by name.
"""

from dptf.errors import UserError

#: Ops of TensorFlow that only compute. Attention, every activation and the bookkeeping of gradients are covered.
TENSORFLOW_OPS = frozenset(
    """
    Abs Add AddN AddV2 All Any ArgMax ArgMin BatchMatMul BatchMatMulV2 BatchMatMulV3 BiasAdd BiasAddGrad
    BiasAddV1 BroadcastArgs BroadcastGradientArgs BroadcastTo Cast Ceil ClipByValue Concat ConcatOffset ConcatV2 Const
    Cos Cross Cumprod Cumsum DepthToSpace Diag DiagPart Div DivNoNan DynamicPartition DynamicStitch Einsum Elu EluGrad
    Equal Erf Erfc EuclideanNorm Exp ExpandDims Expm1 Fill Floor FloorDiv FloorMod FusedBatchNorm FusedBatchNormV3
    Gather GatherNd GatherV2 Greater GreaterEqual Identity IdentityN InvGrad InvertPermutation IsFinite IsInf
    IsNan L2Loss LeakyRelu LeakyReluGrad Less LessEqual LinSpace ListDiff Log Log1p LogSoftmax LogicalAnd LogicalNot
    LogicalOr MatMul MatrixBandPart MatrixDeterminant MatrixDiag MatrixDiagPart MatrixDiagPartV2 MatrixDiagPartV3
    MatrixDiagV2 MatrixDiagV3 MatrixInverse MatrixSetDiag MatrixSetDiagV2 MatrixSetDiagV3 Max Maximum Mean Merge Min
    Minimum Mod Mul MulNoNan Neg NoOp NotEqual OneHot OnesLike Pack Pad PadV2 ParallelConcat
    ParallelDynamicStitch Placeholder PlaceholderV2 PlaceholderWithDefault Pow PreventGradient Prod Range Rank RealDiv
    Reciprocal ReciprocalGrad RefIdentity Relu Relu6 Relu6Grad ReluGrad Reshape ReverseV2 Rint Roll Round Rsqrt
    RsqrtGrad ScatterNd SegmentMax SegmentMean SegmentMin SegmentProd SegmentSum Select SelectV2 Selu SeluGrad Shape
    ShapeN Sigmoid SigmoidGrad Sign Sin Sinh Size Slice Softmax Softplus SoftplusGrad Softsign SoftsignGrad
    SparseToDense Split SplitV Sqrt SqrtGrad Square SquaredDifference Squeeze StopGradient StridedSlice
    StridedSliceGrad Sub Sum Switch Tan Tanh TanhGrad TensorScatterAdd TensorScatterUpdate Tile TopK TopKV2 Transpose
    TruncateDiv TruncateMod Unique UniqueV2 UniqueWithCounts Unpack UnsortedSegmentMax UnsortedSegmentMin
    UnsortedSegmentSum Where Xdivy Xlogy ZerosLike
    """.split()
)

#: Public custom ops that occur in frozen graphs.
DEEPMD_OPS = frozenset(
    """
    ConvertForwardMap Descrpt DescrptNorot DescrptSeA DescrptSeAEf DescrptSeAEfPara DescrptSeAEfVert DescrptSeAMask
    DescrptSeR DprcPairwiseIdx EwaldRecp Gelu GeluCustom GeluGrad GeluGradCustom GeluGradGrad GeluGradGradCustom
    MapAparam PairTab ParallelProdForceSeA ProdEnvMatA ProdEnvMatAMix ProdEnvMatR ProdForce ProdForceGrad ProdForceNorot
    ProdForceSeA ProdForceSeAGrad ProdForceSeAMask ProdForceSeAMaskGrad ProdForceSeR ProdForceSeRGrad ProdVirial
    ProdVirialGrad ProdVirialNorot ProdVirialSeA ProdVirialSeAGrad ProdVirialSeR ProdVirialSeRGrad SoftMinForce
    SoftMinForceGrad SoftMinSwitch SoftMinVirial SoftMinVirialGrad TabInter TabulateFusion TabulateFusionGrad
    TabulateFusionGradGrad TabulateFusionSeA TabulateFusionSeAGrad TabulateFusionSeAGradGrad TabulateFusionSeAtten
    TabulateFusionSeAttenGrad TabulateFusionSeAttenGradGrad TabulateFusionSeR TabulateFusionSeRGrad
    TabulateFusionSeRGradGrad TabulateFusionSeT TabulateFusionSeTGrad TabulateFusionSeTGradGrad UnaggregatedDy2Dx
    UnaggregatedDy2DxS UnaggregatedDyDx UnaggregatedDyDxS
    """.split()
)

#: Prefix of the ops that only this package has.
OWN_PREFIX = "Dptf"


def check_ops(graph_def, path):
    """Refuse a graph that holds an op outside the allow-list.

    Parameters
    ----------
    graph_def : GraphDef
        The graph, function library included.
    path : str
        File it came from, for the message.

    Raises
    ------
    UserError
        Names the op and the node.
    """
    nodes = list(graph_def.node)
    for function in graph_def.library.function:
        nodes.extend(function.node_def)
    for node in nodes:
        op = node.op
        if op in TENSORFLOW_OPS or op in DEEPMD_OPS or op.startswith(OWN_PREFIX):
            continue
        if op.endswith("Nvnmd") or op.endswith("NvnmdQuantize"):
            raise UserError(
                f"node '{node.name}' uses op {op}: this graph emulates the fixed-point arithmetic of NVNMD hardware, which "
                "dptf does not run",
                path,
                "use a model trained without the nvnmd section",
            )
        raise UserError(
            f"node '{node.name}' uses op {op}, which a model has no use for (it is not on the list of pure computations); "
            "the graph is refused",
            path,
            "use a file written by 'dp freeze' from a source you trust",
        )
