"""DPA-2 in NumPy, atom by atom and slot by slot, from the formulas: slow, for open frames."""

import numpy as np


def silu(x):
    return x / (1.0 + np.exp(-x))


ACTIVATIONS = {"tanh": np.tanh, "silu": silu}


def net(x, values, scope, tail, act, resnet_dt):
    k = 1
    while f"{scope}/matrix_{k}{tail}" in values:
        w = values[f"{scope}/matrix_{k}{tail}"]
        h = act(x @ w + values[f"{scope}/bias_{k}{tail}"])
        if w.shape[1] in (w.shape[0], 2 * w.shape[0]):
            h = h * (values[f"{scope}/idt_{k}{tail}"].ravel() if resnet_dt else 1.0)
            h = h + (x if w.shape[1] == w.shape[0] else np.concatenate([x, x], -1))
        x, k = h, k + 1
    return x


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


class Block:
    """Slots of one atom."""

    def __init__(self, i, coord, rcut, rcut_smth, nsel, protection):
        d = coord - coord[i]
        r = np.linalg.norm(d, axis=1)
        order = [j for j in np.argsort(r, kind="stable") if j != i and r[j] <= rcut][:nsel]
        self.index, self.m = np.zeros(nsel, int), np.zeros(nsel)
        self.d, self.r, self.sw, self.rows = np.zeros((nsel, 3)), np.zeros(nsel), np.zeros(nsel), np.zeros((nsel, 4))
        for slot, j in enumerate(order):
            u = np.clip((r[j] - rcut_smth) / (rcut - rcut_smth), 0, 1)
            w = 1 - 10 * u**3 + 15 * u**4 - 6 * u**5
            self.index[slot], self.m[slot], self.d[slot], self.r[slot], self.sw[slot] = j, 1, d[j], r[j], w
            p = r[j] + protection
            self.rows[slot] = w * np.concatenate([[1 / p], d[j] / p**2])


def descriptor(section, values, coord, types):
    """Features (n, dim)."""
    init, o, n = section["repinit"], section["repformer"], len(types)
    excluded = {p for a, b in section["exclude_types"] for p in ((a, b), (b, a))}
    protection, smooth = section["env_protection"], section["smooth"]
    tebd = np.vstack([values["type_embed_net/matrix_1"], np.zeros((1, init["tebd_dim"]))])
    if section["use_tebd_bias"]:
        tebd[:-1] += values["type_embed_net/bias_1"]
    g1 = [initial(i, section, values, coord, types, tebd, excluded) for i in range(n)]
    g1 = np.array(g1)
    if "g1_shape_tranform/matrix" in values:
        g1 = g1 @ values["g1_shape_tranform/matrix"]
    if section["add_tebd_to_repinit_out"]:
        g1 = g1 + tebd[types] @ values["tebd_transform/matrix"]
    act = ACTIVATIONS[o["activation_function"]]
    blocks = []
    for i in range(n):
        b = Block(i, coord, o["rcut"], o["rcut_smth"], o["nsel"], protection)
        drop = np.array([(types[i], types[j]) in excluded for j in b.index]) & (b.m > 0)
        for x in (b.m, b.d, b.r, b.sw, b.rows):
            x[drop] = 0
        avg, std = (values[f"repformer/{k}"].reshape(-1, o["nsel"], 4)[types[i]] for k in ("t_avg", "t_std"))
        rows = (b.rows - avg) / std
        if o["direct_dist"]:
            rows = np.c_[b.r, b.d] / o["rcut"]
        b.g2 = act(rows[:, :1] @ values["repformer/g2_embd/matrix"] + values["repformer/g2_embd/bias"])
        b.h2 = rows[:, 1:]
        blocks.append(b)
    g1 = act(g1)
    for k in range(o["nlayers"]):
        last = k + 1 == o["nlayers"]
        new = []
        for i, b in enumerate(blocks):
            new.append(layer(o, smooth, values, f"repformer_layer_{k}", g1, i, b, last, act))
        g1 = np.array([x[0] for x in new])
        for b, x in zip(blocks, new):
            b.g2, b.h2 = x[1:]
    return np.concatenate([g1, tebd[types]], 1) if section["concat_output_tebd"] else g1


def initial(i, section, values, coord, types, tebd, excluded):
    """Output of the initial blocks for one atom."""
    init, out = section["repinit"], []
    act, dt, strip = ACTIVATIONS[init["activation_function"]], init["resnet_dt"], init["tebd_input_mode"] == "strip"
    for name, three in (("repinit", False), ("repinit_three_body", True)):
        if three and not init["use_three_body"]:
            continue
        pre = "three_body_" if three else ""
        nsel = init["three_body_sel"] if three else init["nsel"]
        b = Block(i, coord, init[f"{pre}rcut"], init[f"{pre}rcut_smth"], nsel, section["env_protection"])
        avg, std = (values[f"{name}/{k}"].reshape(-1, nsel, 4)[types[i]] for k in ("t_avg", "t_std"))
        rows, sw = (b.rows - avg) / std, b.sw.copy()
        tj = np.where(b.m > 0, types[b.index], types.min())
        for slot in range(nsel):
            if b.m[slot] and (types[i], tj[slot]) in excluded:
                rows[slot], sw[slot] = 0, 0
        if three:
            c = rows[:, 1:] @ rows[:, 1:].T
            first, second = np.broadcast_arrays(tj[:, None], tj[None, :])
            x, damp = c, sw[:, None] * sw[None, :]
        else:
            first, second, x, damp = tj, np.full(nsel, types[i]), rows[:, 0], sw
        pair = [tebd[first]] + ([] if init["type_one_side"] and not three else [tebd[second]])
        if strip:
            tail = "_one_side_ebd" if len(pair) == 1 else "_two_side_ebd"
            h = net(np.concatenate(pair, -1), values, name, tail, act, dt)
            h = h * damp[..., None] if section["smooth"] else h
            g = net(x[..., None], values, name, "", act, dt)
            g = g * h + g
        else:
            g = net(np.concatenate([x[..., None], *pair], -1), values, name, "", act, dt)
        if three:
            out.append(np.einsum("ab,abm->m", x, g) / nsel**2)
        else:
            a = g.T @ rows / nsel
            out.append((a @ a[: init["axis_neuron"]].T).ravel())
    return np.concatenate(out)


def combine(o, values, scope, feature, terms):
    if len(terms) == 1:
        return terms[0]
    if o["update_style"] == "res_avg":
        return sum(terms) / np.sqrt(len(terms))
    if o["update_style"] == "res_incr":
        return terms[0] + sum(terms[1:]) / np.sqrt(len(terms) - 1)
    return terms[0] + sum(values[f"{scope}/{feature}_residual_{k}"] * t for k, t in enumerate(terms[1:]))


def layer(o, smooth, values, scope, g1, i, b, last, act):
    """New g1, g2, h2 of one atom."""

    def lin(x, name):
        y = x @ values[f"{scope}/{name}/matrix"]
        return y + values[f"{scope}/{name}/bias"] if f"{scope}/{name}/bias" in values else y

    g2, h2, sw, m, gg = b.g2, b.h2, b.sw, b.m, g1[b.index]
    nnei, n, eps, a = len(m), m.sum(), 1e-4, o["axis_neuron"]
    weight = sw if smooth else m
    z1 = 1 / nnei if smooth else 1 / (eps + n)
    z2 = (nnei**-0.5 if smooth else 1 / (eps + np.sqrt(n))) if o["use_sqrt_nnei"] else z1

    def sym(x):
        h = z2 * np.einsum("j,jc,jx->cx", weight, h2, x)
        return (h[:, :a].T @ h / 3).ravel()

    terms, inputs = [g1[i]], []
    if o["g1_out_mlp"]:
        terms.append(act(lin(g1[i], "g1_self_mlp")))
    else:
        inputs.append(g1[i])
    if o["update_g1_has_conv"] and o["g1_out_conv"]:
        terms.append(z1 * (weight[:, None] * lin(g2, "proj_g1g2") * gg).sum(0))
    elif o["update_g1_has_conv"]:
        inputs.append(z1 * (weight[:, None] * g2 * lin(gg, "proj_g1g2")).sum(0))
    if o["update_g1_has_grrg"]:
        inputs.append(sym(g2))
    if o["update_g1_has_drrd"]:
        inputs.append(sym(gg))
    if inputs:
        terms.append(act(lin(np.concatenate(inputs), "linear1")))
    if o["update_g1_has_attn"]:
        nd, nh, n1 = o["attn1_hidden"], o["attn1_nhead"], o["g1_dim"]
        q = lin(g1[i], "loc_attn/mapq").reshape(nd, nh)
        kv = lin(gg, "loc_attn/mapkv").reshape(nnei, nd + n1, nh)
        heads = []
        for h in range(nh):
            logits = kv[:, :nd, h] @ q[:, h] / np.sqrt(nd)
            w = softmax((logits + 20) * sw - 20) * sw * m if smooth else softmax(np.where(m > 0, logits, -1e30)) * m
            heads.append(w @ kv[:, nd:, h])
        terms.append(lin(np.concatenate(heads), "loc_attn/head_map"))
    new_g1 = combine(o, values, scope, "g1", terms)
    if last:
        return new_g1, g2, h2
    terms2, terms3 = [g2, act(lin(g2, "linear2"))], [h2]
    if o["update_g2_has_g1g1"]:
        terms2.append(lin(weight[:, None] * g1[i] * gg, "proj_g1g1g2"))
    if o["update_g2_has_attn"] or o["update_h2"]:
        nd, nh, n2 = o["attn2_hidden"], o["attn2_nhead"], o["g2_dim"]
        qk, gate, maps = lin(g2, "attn2g_map/mapqk").reshape(nnei, nd, 2 * nh), h2 @ h2.T, []
        for h in range(nh):
            logits = qk[:, :, h] @ qk[:, :, nh + h].T / np.sqrt(nd) * (gate if o["attn2_has_gate"] else 1)
            both = m[:, None] * m[None, :]
            if smooth:
                damp = sw[:, None] * sw[None, :]
                w = softmax((logits + 20) * damp - 20) * both * damp
            else:
                w = softmax(np.where(m[None, :] > 0, logits, -1e30)) * both
            maps.append(w * gate / np.sqrt(3))
        if o["update_g2_has_attn"]:
            v = lin(g2, "attn2_mh_apply/mapv").reshape(nnei, n2, nh)
            y = np.stack([maps[h] @ v[:, :, h] for h in range(nh)], -1).reshape(nnei, n2 * nh)
            y = lin(y, "attn2_mh_apply/head_map")
            y = (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-5)
            terms2.append(y * values[f"{scope}/attn2_lm/gamma"] + values[f"{scope}/attn2_lm/beta"])
        if o["update_h2"]:
            y = np.stack([w @ h2 for w in maps], -1)
            terms3.append(lin(y, "attn2_ev_apply/head_map")[..., 0])
    return new_g1, combine(o, values, scope, "g2", terms2), combine(o, values, scope, "h2", terms3)
