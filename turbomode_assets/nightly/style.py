"""How the nightly page looks: dark on white, or the other way round where people prefer that."""

STYLE = """
:root{color-scheme:light dark;--ink:#1d2a35;--soft:#5a6873;--line:#dfe5ea;--card:#f6f8fa;
--paper:#fff;--accent:#1f6f8b;--bad:#b8322a;--warn:#9a5b00;--good:#2f7d5b;--hold:#a9b4be;
--badbg:#fdeeec;--warnbg:#fdf4e3;--goodbg:#eaf6f0;--g:#b4dcc8;--a:#de8a00;--r:#9b1020;--none:#eceff2}
@media(prefers-color-scheme:dark){:root{--ink:#e3e9ee;--soft:#9aa8b4;--line:#2c3843;--card:#18212a;
--paper:#10171d;--accent:#5fb6d3;--bad:#ff8a80;--warn:#f0b45a;--good:#7cd3aa;--hold:#6b7985;
--badbg:#33191a;--warnbg:#302611;--goodbg:#14291f;--g:#2c5f49;--a:#d08a1c;--r:#e0483f;--none:#232d36}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,
"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;overflow-wrap:break-word}
main,header,footer{max-width:74rem;margin:0 auto;padding:0 1.25rem}
header{padding-top:1.5rem}
h1{font-size:1.7rem;line-height:1.2;margin:.2rem 0 .3rem;letter-spacing:-.01em}
h2{font-size:1.25rem;line-height:1.3;margin:0 0 .5rem;letter-spacing:-.005em}
h3{font-size:1rem;margin:1.4rem 0 .3rem}
section{padding:1.9rem 0;border-top:1px solid var(--line);scroll-margin-top:.5rem}
p{margin:.4rem 0;max-width:46rem}
a{color:var(--accent);text-underline-offset:.15em}
.soft{color:var(--soft)}.small{font-size:.875rem}
.simulated{background:var(--bad);color:var(--paper);text-align:center;font-weight:700;
padding:.5rem 1.25rem;letter-spacing:.02em}
.verdict{border-radius:.75rem;padding:1rem 1.2rem;margin:1rem 0;border-left:.4rem solid}
.verdict strong{font-size:1.2rem;display:block}
.verdict ul{margin:.5rem 0 0;padding-left:1.15rem}.verdict li{margin:.25rem 0}
.well{background:var(--goodbg);border-color:var(--good)}.well strong{color:var(--good)}
.look{background:var(--warnbg);border-color:var(--warn)}.look strong{color:var(--warn)}
.act{background:var(--badbg);border-color:var(--bad)}.act strong{color:var(--bad)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.7rem;
margin:1rem 0}
.tile{background:var(--card);border-radius:.6rem;padding:.7rem .9rem}
.tile b{display:block;font-size:1.35rem;line-height:1.25;font-variant-numeric:tabular-nums}
.tile>span{color:var(--soft);font-size:.85rem;line-height:1.35;display:block}
nav{display:flex;flex-wrap:wrap;gap:.3rem 1.1rem;margin:1rem 0 1.4rem;font-size:.925rem}
.scroll{overflow-x:auto;margin:.6rem 0;-webkit-overflow-scrolling:touch}
table{border-collapse:collapse;font-size:.9rem;line-height:1.4;min-width:100%}
th,td{padding:.38rem .7rem;text-align:left;vertical-align:top;white-space:nowrap}
th{color:var(--soft);font-weight:600;font-size:.8rem;border-bottom:1px solid var(--line);
white-space:normal;vertical-align:bottom}
td{border-bottom:1px solid var(--line)}
tr:last-child td{border-bottom:0}
th:first-child,td:first-child{padding-left:0;position:sticky;left:0;background:var(--paper)}
.n{text-align:right;font-variant-numeric:tabular-nums}
.note td{border-top:0;padding-top:0;color:var(--bad);white-space:normal}
.note div{position:sticky;left:0;max-width:min(46rem,calc(100vw - 2.5rem));overflow-wrap:anywhere}
tr:has(+.note) td{border-bottom:0}
.wide{white-space:normal;min-width:min(17rem,56vw);max-width:38rem}
:first-child.wide{min-width:6.5rem;max-width:14rem}
.side{font-weight:700}.t-buy,.t-win,.t-success,.t-stable{color:var(--accent)}
.t-sell,.t-loss,.t-failure,.t-alert,.t-critical{color:var(--bad)}
.t-hold,.t-expired,.t-canceled{color:var(--soft)}.t-warn,.t-warning{color:var(--warn)}
.empty{background:var(--card);border-radius:.6rem;padding:.8rem 1rem}
details{margin:.6rem 0}summary{cursor:pointer;color:var(--accent);font-size:.9rem}
.bar{display:inline-flex;width:5rem;height:.7rem;border-radius:.2rem;overflow:hidden;
margin-right:.6rem;vertical-align:-.05rem}
td:has(.bar){white-space:normal}.bar+span{white-space:nowrap}
td:first-child b{display:inline-block;max-width:14rem;overflow:hidden;text-overflow:ellipsis;
vertical-align:bottom}
.bar i.sell,.key.sell{background:var(--bad)}.bar i.hold,.key.hold{background:var(--hold)}
.bar i.buy,.key.buy{background:var(--accent)}
.legend{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;font-size:.85rem;color:var(--soft)}
.key{display:inline-block;width:.8rem;height:.8rem;border-radius:.2rem;margin-right:.35rem;
vertical-align:-.05rem}
.key.green{background:var(--g)}.key.amber{background:var(--a)}.key.red{background:var(--r)}
.key.none{background:var(--none)}.key.limit{height:0;border-top:2px dashed var(--soft);
border-radius:0;vertical-align:.2rem}
.chart{display:grid;grid-template-columns:3.6rem minmax(0,1fr);margin:.9rem 0;font-size:.75rem;
color:var(--soft);font-variant-numeric:tabular-nums}
.chart svg{display:block;width:100%;overflow:visible}
.chart .y{position:relative}.chart .y span{position:absolute;right:.5rem;transform:translateY(-50%);
white-space:nowrap}
.chart .x{grid-column:2;display:flex;justify-content:space-between;margin-top:.4rem}
.chart .x span{white-space:nowrap}
.square{max-width:27rem}.square svg{aspect-ratio:1}
.map{grid-template-columns:fit-content(6.5rem) minmax(0,1fr)}
.map .y{padding-right:.5rem;min-width:2.9rem;max-width:6.5rem}.map .y data{display:block;
font-size:.62rem;line-height:12px;height:12px;overflow:hidden;text-overflow:ellipsis;white-space:nowrap;text-align:right}
.map svg{background:var(--none)}.map .green{fill:var(--g)}.map .amber{fill:var(--a)}
.map .red{fill:var(--r)}
path{vector-effect:non-scaling-stroke}
.line{fill:none;stroke:var(--accent);stroke-width:1.8;stroke-linejoin:round}
.line.grid{stroke:var(--line);stroke-width:1}
.line.limit{stroke:var(--soft);stroke-width:1.3;stroke-dasharray:5 4}
.line.fall,.line.sell{stroke:var(--bad)}.line.hold{stroke:var(--hold)}
.area{fill:var(--accent);opacity:.1}.area.fall{fill:var(--bad);opacity:.18}
.dot{fill:none;stroke:var(--accent);stroke-width:7;stroke-linecap:round}.dot.sell{stroke:var(--bad)}
.dot.hold{stroke:var(--hold)}
.gap{stroke:var(--paper);stroke-width:1}
footer{padding-top:1.2rem;padding-bottom:2.5rem;border-top:1px solid var(--line)}
@media(max-width:40rem){body{font-size:15px}main,header,footer{padding-left:1rem;padding-right:1rem}
h1{font-size:1.45rem}.tiles{grid-template-columns:1fr 1fr}.chart{grid-template-columns:2.9rem
minmax(0,1fr)}.chart .x span:nth-child(even):not(:last-child){display:none}
th,td{padding:.34rem .5rem}td:has(.bar){white-space:nowrap}
.map{grid-template-columns:fit-content(5rem) minmax(0,1fr)}}
@media print{nav{display:none}section{break-inside:avoid}}
"""
