"""Simplified Chinese, by the English text."""

from __future__ import annotations

from gui.words_zh_pages import PAGES

CHINESE: dict[str, str] = {
    **PAGES,
    "Chat": "对话",
    "Connecting…": "正在连接…",
    "Copy details": "复制详情",
    "Corral": "Corral",
    "Nothing here yet": "这里还没有内容",
    "Ready": "就绪",
    "Starting the daemon…": "正在启动后台服务…",
    "The daemon does not answer": "后台服务没有响应",
    "Try again": "重试",
    "{n} loaded": "已加载 {n} 个",
}
