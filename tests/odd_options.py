"""Values of options that nobody means well with, by command; {photo} and the like are files of the case."""

ODD = ("", "0", "-1", "nan", "1e999", "x", "99999999999999999999", "1e-320", "é", "../../x", "gram:0", "-", "relu9_9")
ENGINE = {
    "--style-scale": ("0.01", "1", "1e9", "1e-9"),
    "--style-loss": ("gram:0", "gram:1e30", "mmd-poly,degree=0", "mmd-poly,degree=1e9", "mmd-gaussian,bandwidth=0",
                     "mrf", "mrf,patch=0", "mrf,patch=99", "style-swap,stride=0", "style-swap,stride=-1", "histogram",
                     "sliced-wasserstein,directions=0", "sliced-wasserstein,directions=-5", "mmd-linear,x=1",
                     "gaussian-wasserstein", "mmd-poly,c=nan", "mmd-poly,c=-1e30", "gram,", "gram:nan",
                     "mrf,candidates=0", "bn"),
    "--style-layers": ("input", "relu1_1:0", "relu1_1,relu1_1", "relu5_1", "conv1_1:1e30", "pool1"),
    "--content-layers": ("input", "relu4_2:0", "relu1_1:1e38"),
    "--balance": ("0", "1e30", "1e-30"),
    "--strength": ("0", "1", "0.5"),
    "--content-weight": ("0", "1e38"),
    "--style-weight": ("0", "1e38"),
    "--tv": ("0", "1e30"),
    "--tolerance": ("1e-30", "1e30"),
    "--optimizer": ("adam,lr=1e30", "adam,lr=0", "lbfgs,history=0", "lbfgs,history=999999999", "adam,averaging=2",
                    "lbfgsb,history=1", "adam,bounds=3", "lbfgs,history=x", "adam,lr=true", "lbfgsb,bounds=1",
                    "lbfgs,max_retries=x", "adam,beta1=x"),
    "--seed": ("0", "-1", "9223372036854775807", "18446744073709551615", "-9223372036854775809"),
    "--threads": ("1", "1000000000", "4096"),
    "--init": ("noise", "grey", "style", "adain", "inverse", "{photo}", "{painting}", "{folder}", "/dev/null"),
    "--device": ("cpu", "cpu:3", "cuda:x", "mps", "meta"),
    "--precision": ("fp32", "bf16", "fp64"),
    "--padding": ("zeros", "circular"),
    "--pooling": ("avg", "l2"),
    "--max-pixels": ("1", "1000000"),
    "--colour": ("linear", "histogram", "luma", "chroma"),
    "--preset": ("poster", "none"),
    "--config": ("{photo}", "{folder}"),
    "--weights": ("{photo}", "/dev/null"),
    "--content-mask": ("{photo}", "/dev/null"),
    "--style-mask": ("{photo}",),
    "--checkpoint": ("{folder}", "/dev/null", "{photo}", "{folder}/none/x"),
    "--preview": ("1", "0"),
    "--frames-every": ("1", "0"),
    "--smallest": ("1", "99999"),
    "--size": ("1", "8", "33"),
}  # fmt: skip
FAST = {
    "--model": ("adain", "adaattn", "inverse", "adaattn,samples=0", "inverse,patch=0", "inverse,stride=0", "adain,x=1"),
    "--alpha": ("0", "1", "0.5"),
    "--size": ("1", "8", "33"),
    "--style-size": ("1", "8", "33"),
    "--region": ("1,1:2,2", "0,0:9999,1", "1:2", "-1,0:0,0"),
    "--content-mask": ("{photo}",),
    "--colour": ("linear", "histogram", "luma", "chroma"),
    "--encoder": ("lite", "vgg19x", "{photo}"),
    "--weights": ("{photo}", "/dev/null", "{folder}"),
    "--precision": ("bf16", "auto"),
    "--threads": ("1", "1000000000"),
}
TEXTURE = {name: ENGINE[name] for name in ("--style-loss", "--optimizer", "--seed", "--tv", "--padding", "--threads")}
TEXTURE |= {"--size": ("40", "1", "33x1", "100000000", "99999x99999", "0x5", "64x32"), "--tileable": ()}
RECONSTRUCT = {name: ENGINE[name] for name in ("--optimizer", "--seed", "--tv", "--padding", "--size", "--init")}
RECONSTRUCT |= {"--layer": ("relu1_1", "relu9_1", "input"), "--layers": ("relu1_1:0", "relu4_1")}
