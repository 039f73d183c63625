"""Simplified Chinese of the library and where it is kept, by the English text."""

from __future__ import annotations

CHINESE: dict[str, str] = {
    "A type's quality can be measured in the library once it is made.": "生成后，可在模型库中测量其质量。",
    "CORRAL_HOME in the environment moves them all.": "环境变量 CORRAL_HOME 可移动全部文件夹。",
    "Change where models are kept": "更改模型的存放位置",
    "Choose…": "选择…",
    "Folder for the models": "模型文件夹",
    "Looking at the folder…": "正在查看文件夹…",
    "Measured: {what}": "实测：{what}",
    "Move the models": "移动模型",
    "Move the models there": "将模型移动到那里",
    "Moving": "正在移动",
    "Moving to {folder}: {done} of {whole}": "正在移动到 {folder}：{done} / {whole}",
    "Now: {folder}": "当前：{folder}",
    "Quality, as measured against {name}": "质量（与 {name} 对比实测）",
    "Search the tensors": "搜索张量",
    "Shape": "形状",
    "Tensors": "张量",
    "The models were not moved": "模型未能移动",
    "The move cannot be cancelled": "无法取消移动",
    "The usual folder": "默认文件夹",
    "This folder is not there: connect its disk, or choose another one.": "找不到此文件夹：请连接所在磁盘，或选择其他文件夹。",
    "Use this folder": "使用此文件夹",
    "Use what is there ({n} models); those here stay here": "使用那里已有的模型（{n} 个）；此处的模型保留不动",
    "Where models are kept": "模型存放位置",
    "divergence {n}": "差异 {n}",
    "{needed} are needed there, {free} are free.": "那里需要 {needed}，可用 {free}。",
    "{n} models, {size}; on the same disk, so nothing is copied.": "{n} 个模型，{size}；在同一磁盘上，无需复制。",
    "{n} models, {size}; {free} free there.": "{n} 个模型，{size}；那里可用 {free}。",
    "{n} tensors": "{n} 个张量",
}
