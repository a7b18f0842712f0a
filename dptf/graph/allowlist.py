"""Which ops a graph file may contain.

A TensorFlow graph is a program: it can read and write files, open connections and call Python. A model file comes
from elsewhere, so only ops that compute numbers from numbers are let through; everything else is refused by name.
"""

from dptf.errors import UserError

#: Ops of TensorFlow that only compute. Attention, every activation, assertions, loops and the bookkeeping of gradients are
#: covered; the bodies of functions are looked through as well.
TENSORFLOW_OPS = frozenset(
    """
    Abs Acos Acosh Add AddN AddV2 All Any ApproximateEqual ArgMax ArgMin Asin Asinh Assert Atan Atan2 Atanh
    BatchMatMul BatchMatMulV2 BatchMatMulV3 BiasAdd BiasAddGrad BiasAddV1 Bincount Bitcast BitwiseAnd BitwiseOr
    BitwiseXor BroadcastArgs BroadcastGradientArgs BroadcastTo Cast Ceil CheckNumerics ClipByValue Complex Concat
    ConcatOffset ConcatV2 Conj Const ControlTrigger Cos Cosh Cross Cumprod Cumsum DenseBincount DepthToSpace Diag
    DiagPart Digamma Div DivNoNan DynamicPartition DynamicStitch Einsum Elu EluGrad EnsureShape Enter Equal Erf Erfc
    Erfinv EuclideanNorm Exit Exp ExpandDims Expm1 Fill Floor FloorDiv FloorMod FusedBatchNorm FusedBatchNormV3
    Gather GatherNd GatherV2 Greater GreaterEqual Identity IdentityN If Imag Inv InvGrad InvertPermutation IsFinite
    IsInf IsNan L2Loss LeakyRelu LeakyReluGrad LeftShift Less LessEqual Lgamma LinSpace ListDiff Log Log1p
    LogSoftmax LogicalAnd LogicalNot LogicalOr LoopCond LowerBound MatMul MatrixBandPart MatrixDeterminant
    MatrixDiag MatrixDiagPart MatrixDiagPartV2 MatrixDiagPartV3 MatrixDiagV2 MatrixDiagV3 MatrixInverse
    MatrixSetDiag MatrixSetDiagV2 MatrixSetDiagV3 Max Maximum Mean Merge Min Minimum Mod Mul MulNoNan Neg
    NextIteration NoOp NotEqual OneHot OnesLike Pack Pad PadV2 ParallelConcat ParallelDynamicStitch PartitionedCall
    Placeholder PlaceholderV2 PlaceholderWithDefault Pow PreventGradient Prod Range Rank Real RealDiv Reciprocal
    ReciprocalGrad RefIdentity Relu Relu6 Relu6Grad ReluGrad Reshape ReverseV2 RightShift Rint Roll Round Rsqrt
    RsqrtGrad ScatterNd ScatterNdNonAliasingAdd SegmentMax SegmentMean SegmentMin SegmentProd SegmentSum
    SegmentSumV2 Select SelectV2 Selu SeluGrad Shape ShapeN Sigmoid SigmoidGrad Sign Sin Sinh Size Slice Softmax
    Softplus SoftplusGrad Softsign SoftsignGrad SparseToDense Split SplitV Sqrt SqrtGrad Square SquaredDifference
    Squeeze StatefulPartitionedCall StatelessIf StatelessWhile StopGradient StridedSlice StridedSliceGrad Sub Sum
    Switch Tan Tanh TanhGrad TensorArrayCloseV3 TensorArrayGatherV3 TensorArrayReadV3 TensorArrayScatterV3
    TensorArraySizeV3 TensorArrayV3 TensorArrayWriteV3 TensorListFromTensor TensorListGetItem TensorListLength
    TensorListReserve TensorListSetItem TensorListStack TensorScatterAdd TensorScatterMax TensorScatterMin
    TensorScatterSub TensorScatterUpdate Tile TopK TopKV2 Transpose TruncateDiv TruncateMod Unique UniqueV2
    UniqueWithCounts Unpack UnsortedSegmentMax UnsortedSegmentMin UnsortedSegmentSum UpperBound Where While Xdivy
    Xlog1py Xlogy ZerosLike
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
