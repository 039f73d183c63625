"""Simplified Chinese, by the English text: what buttons do about errors."""

from __future__ import annotations

CHINESE: dict[str, str] = {
    "Download it": "下载",
    "Free disk space…": "清理磁盘空间…",
    "Free memory and try again": "释放内存并重试",
    "Free {size}?": "释放 {size}？",
    "It is kept as the tokens in the settings are, and the download goes on.": "令牌的保存方式与设置中的相同，之后下载会继续。",
    "Leave out the oldest turns": "省略最早的对话",
    "No idle model is in memory: other programs have it.": "内存中没有空闲的模型：内存被其他程序占用。",
    "No port is free after {port}.": "{port} 之后没有可用的端口。",
    "Nothing lies about: delete a model to make room.": "没有可清理的文件：请删除模型以腾出空间。",
    "Repair its files": "修复文件",
    "Repairing {name}…": "正在修复 {name}…",
    "Restart the daemon": "重启后台服务",
    "Send an edit": "发送修改",
    "Start the daemon": "启动后台服务",
    "The daemon has version {there}, this app {here}.": "后台服务的版本是 {there}，本应用的版本是 {here}。",
    "Try the other hub": "换另一个站点",
    "Try with a larger context": "用更大的上下文重试",
    "Try with a smaller context": "用更小的上下文重试",
    "Use another port for now": "暂时使用其他端口",
    "without the {n} oldest turns": "省略了最早的 {n} 条",
    "{n} files that no model and no download needs are removed.": "将删除 {n} 个没有模型或下载需要的文件。",
}
