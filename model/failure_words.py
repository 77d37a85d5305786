"""Words with which programs of many languages report failure, trouble or success. A list, and nothing else.

A gloss is the English word that the line encoder reads in place of a foreign one.
"""

from __future__ import annotations

FAILURE = r"""
error|errors|fatal|critical|emerg(?:ency)?|severe|panic(?:ked)?|exception|fail(?:ed|ure|ures|s|ing)?|denied|refused|reject(?:ed)?
|time[sd]?[ -]?out|timeout|abort(?:ed|ing)?|corrupt(?:ed|ion)?|crash(?:ed|ing)?|killed|broken|unreachable|unhealthy
|traceback|segfault|segmentation fault|core dumped|out of memory|oom|oomkilled|no space left|disk full|deadlock(?:ed)?
|deadline exceeded|unavailable|not available|read-only file system|i/o error|data loss|lost|malware|breach|violation
|bad gateway|internal server error|gateway timeout|too many (?:connections|open files|requests|clients)|stack overflow
|connection reset|broken pipe|no route to host|name or service not known|quota exceeded|backoff|crashloopbackoff
|evicted|expired|rollback|rolled back|dead|cannot|can't|could not|couldn't|unable|exhausted|overflow(?:ed)?
"""
"""English; alternatives of a regular expression."""

TROUBLE = r"""
warn(?:ing)?|missing|unknown|invalid|illegal|unexpected|unsupported
|not (?:found|supported|allowed|permitted|enough|exist\w*)|no such|mismatch
|exceed(?:ed|s)?|too (?:large|long|small|slow|old|late)|slow|retry(?:ing)?|retries|delayed|lagging
|degraded|stale|dropp?(?:ed|ing)|throttl(?:ed|ing)|skipp(?:ed|ing)|suspicious|insufficient|bad|wrong|disconnect(?:ed)?
|unauthorized|forbidden|conflict|leak|stuck|blocked|hung
"""
"""English words of trouble that many healthy systems log as well."""

HEALTH = r"""
success(?:ful|fully)?|succeeded|ok|ready|started|listening|complete[d]?|finished|done|recovered|restored|healthy|normal
|established|connected|accepted|passed|up to date|no (?:errors?|problems?|failures?)|without errors?
"""

PLANNED = r"""
shut(?:ting)? ?down|stopping|stopped|terminating|sigterm|sighup|restart(?:ing|ed)?|reload(?:ing|ed)?|closing|exiting
|graceful(?:ly)?|as requested|by (?:request|administrator)|draining|maintenance
"""

CONNECTION = r"""
(?:re|dis)?connect(?:ed|ing|ion|ions|s)?|socket|handshake|refused|reset|unreachable|no route|broken pipe|eof|heartbeat
|peers?|upstream|remote|session|stream(?:ing|s)?|send|sending|sent|receiv(?:e|ed|ing)
"""
"""English words about the connection to another process."""

GLOSSES: dict[str, str] = {
    word: gloss
    for gloss, words in {
        "failed": (
            "nije uspjel|nije uspio|neuspješ|неуспешн|ব্যর্থ|தோல்வி|"
            "失败|失敗|失敗しました|실패|неудач|не удалось|не вдалося|fehlgeschlagen|gescheitert|"
            "échec|échoué|fallo|falló|fallido|falha|falhou|fallit|niepowodzenie|nie powiodł|selhal|"
            "başarısız|mislukt|misslyckades|mislyktes|mislykkedes|epäonnistui|فشل|ناموفق|נכשל|विफल|"
            "ล้มเหลว|thất bại|gagal|αποτυχία|απέτυχε|sikertelen|eșuat"
        ),
        "error": (
            "错误|錯誤|エラー|오류|에러|ошибк|помилк|грешка|fehler|erreur|erro|errore|błąd|chyba|"
            "hata|fout|feil|fejl|virhe|خطأ|خطا|שגיאה|त्रुटि|ข้อผิดพลาด|lỗi|kesalahan|σφάλμα|hiba|"
            "eroare"
        ),
        "exception": "异常|異常|例外|예외|исключени|ausnahme|excepción|exceção|eccezione|wyjątek",
        "timeout": (
            "逾時|超时|超時|逾时|タイムアウト|시간 초과|시간초과|таймаут|время ожидания|"
            "zeitüberschreitung|délai dépassé|délai d'attente|tiempo de espera|tempo esgotado|"
            "tempo limite|tempo scaduto|limit czasu|vypršel|zaman aşımı|aikakatkaisu|انتهت مهلة|"
            "หมดเวลา|hết thời gian|időtúllépés"
        ),
        "refused": (
            "拒绝|拒絕|拒否|거부|отказ|abgelehnt|refusé|rechazad|recusad|rifiutat|odmow|odmítnut|"
            "reddedildi|geweigerd|مرفوض|رفض|נדחה|अस्वीकार|từ chối|ditolak|elutasítva|refuzat"
        ),
        "unable": "无法|無法|невозможно|nicht möglich|impossible|imposible|impossível|impossibile|تعذر",
        "cannot": "不能|できません|할 수 없|kann nicht|no se puede|não pode|nie można|nelze|kan niet",
        "crashed": "崩溃|崩潰|異常終了|аварийн|abgestürzt",
        "aborted": "中断|中斷|중단|abgebrochen|interrompu|interrumpid|interrompid|interrott|przerwan",
        "disconnected": "断开|斷開|切断",
        "disk full": (
            "磁盘已满|磁碟已滿|ディスクがいっぱい|диск заполнен|диск полон|disco lleno|disco cheio|disco pieno|"
            "disque plein|platte voll|dysk pełny|disk dolu"
        ),
        "no space left": (
            "нема места|空间不足|空間不足|容量不足|нет места|kein speicherplatz|espace insuffisant|"
            "plus d'espace|espacio insuficiente|sin espacio|sem espaço|spazio esaurito|brak miejsca"
        ),
        "out of memory": (
            "speicher voll|"
            "内存不足|記憶體不足|メモリ不足|mémoire insuffisante|sin memoria|sem memória|memoria esaurita|brak pamięci"
        ),
        "exhausted": "耗尽|耗盡",
        "unavailable": (
            "不可用|недоступ|nicht verfügbar|indisponible|no disponible|indisponível|non disponibile|"
            "niedostępn|nedostupn|kullanılamıyor|niet beschikbaar|غير متاح"
        ),
        "lost": "втрачен|изгубљен|丢失|遺失|끊어|потерян|разорван|verloren|perdu|perdid|utracon",
        "corrupt": ("损坏|損壞|破損|손상|повреж|beschädigt|corrompu|dañad|corrompid|danneggiat|uszkodzon|bozuk"),
        "fatal": "致命|фатальн",
        "critical": "严重|嚴重|критическ",
        "deadlock": "死锁",
        "warning": "警告|경고|предупреждени|ostrzeżenie",
        "retry": "重试|再試行|재시도|повтор",
        "not found": (
            "未找到|見つかりません|찾을 수 없|не найден|nicht gefunden|introuvable|no encontrad|"
            "não encontrad|non trovat|nie znaleziono|bulunamadı"
        ),
        "no such": "不存在",
        "invalid": "无效|無效|不正|ungültig|invalide",
        "success": "成功|성공|успешно|erfolgreich|réussi|éxito|sucesso|başarılı",
        "completed": "完成|完了|완료|заверш|abgeschlossen|terminé|completad|completat|tamamlandı",
        "started": "已启动|启动|起動|시작|запущен|gestartet|démarré|iniciad|avviat|başlatıldı",
        "normal": "正常",
        "connection": "连接|接続|соединени|verbindung|connexion|conexión|conexão",
        "insufficient": "부족|недостаточно|yetersiz|不足|insuffisant|insuficiente",
        "overflow": "溢出|переполн",
        "failure": "сбой|збій|fehlschlag|falla",
        "exceeded": "превышено|przekroczono",
        "rejected": "отклон|odrzucon|avvist",
        "denied": "запрещен|запрещён|нет доступа|negato|odepřen|engellendi|verweigert|interdit|denegad|negado|nekad",
        "not enough": "не хватает|нехватк",
        "unreachable": "nicht erreichbar|injoignable|onbereikbaar",
        "could not": "konnte nicht|konnten nicht|no se pudo|não foi possível",
        "could not connect": "bağlanılamadı",
    }.items()
    for word in words.split("|")
}
"""Foreign words or stems, lower case, with their glosses. A stem stands for all of its endings."""
