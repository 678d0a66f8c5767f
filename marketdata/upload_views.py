"""Pages and actions of /data/mine/. Views translate: request in, call of uploads or datasets, response out."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import RequestDataTooBig
from django.core.paginator import Paginator
from django.db.models import Prefetch
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST, require_safe

from marketdata import datasets, uploads
from marketdata.datasets import Refusal
from marketdata.exporting import Download, csv_lines
from marketdata.models import Dataset, DatasetVersion, Upload
from marketdata.reading.limits import MEGABYTE, MOST_BYTES, MOST_COLUMNS, MOST_ROWS
from marketdata.reading.naming import OURS
from marketdata.uploads import WrongPlace

ON_A_PAGE = 30
LAYOUT = ("encoding", "delimiter", "header", "sheet")
DATES = ("date_column", "date_format", "zone")
FIGURES = ("decimal", "thousands")
ODDITIES = ("unreadable", "infinities", "duplicates", "negative")
# Of the columns that can be named on the page: a form has at most 200 fields.
MOST_NAMED = 150
ZONES = ("UTC", "America/New_York", "Europe/London", "Europe/Berlin", "Asia/Tokyo", "Asia/Kolkata", "Asia/Shanghai")


# Lists ------------------------------------------------------------------------------------------------------


@never_cache
@login_required
def mine(request: HttpRequest) -> HttpResponse:
    """My datasets and what is on its way; with POST a whole file from the plain form."""
    if request.method == "POST":
        return _receive_whole(request)
    return render(request, "marketdata/mine.html", _list_context(request))


def _list_context(request: HttpRequest, **more: Any) -> dict[str, Any]:
    owned = Dataset.objects.filter(owner=request.user).prefetch_related(
        Prefetch("versions", queryset=DatasetVersion.objects.order_by("-number"))
    )
    rows = [{"dataset": each, "newest": each.versions.all()[0], "count": len(each.versions.all())} for each in owned]
    return {
        "rows": [row for row in rows if not row["dataset"].deleted],
        "deleted": [row for row in rows if row["dataset"].deleted],
        "uploads": Upload.objects.filter(owner=request.user).exclude(status=Upload.Status.DONE),
        "usage": datasets.usage_of(request.user),
        "names": uploads.names_of(request.user),
        "limits": {"mb": MOST_BYTES // MEGABYTE, "rows": MOST_ROWS, "columns": MOST_COLUMNS},
        "piece_bytes": uploads.PIECE_BYTES,
        "name": request.GET.get("name", "")[:60],
        **more,
    }


def _receive_whole(request: HttpRequest) -> HttpResponse:
    file, name = request.FILES.get("file"), str(request.POST.get("name", ""))[:80]
    try:
        if file is None:
            raise Refusal("Choose a file first.")
        upload = uploads.begin(request.user, name=name, filename=str(file.name), size=file.size or 0)
        file.seek(upload.received)
        while piece := file.read(uploads.PIECE_BYTES):
            upload = uploads.append(upload, upload.received, piece)
    except Refusal as refusal:
        return render(request, "marketdata/mine.html", _list_context(request, refusal=refusal, name=name), status=422)
    except WrongPlace:
        pass  # the same file is on its way from another window
    return redirect("marketdata:upload", upload.pk)


# Uploads ----------------------------------------------------------------------------------------------------


@login_required
@require_POST
def begin_upload(request: HttpRequest) -> JsonResponse:
    """For the script: where to send the pieces, and how much is there already."""
    try:
        asked = json.loads(request.body)
        name, filename, size = str(asked.get("name", ""))[:80], str(asked["filename"])[:500], int(asked["size"])
        sha256 = str(asked.get("sha256", "")).lower()
        if size > 10**15:
            raise ValueError("no file is so large")
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, RequestDataTooBig):
        return JsonResponse({"problem": "The request is not understood. Load the page again."}, status=400)
    if sha256 and (len(sha256) != 64 or set(sha256) - set("0123456789abcdef")):
        return JsonResponse({"problem": "The file's hash is not one. Load the page again."}, status=400)
    try:
        upload = uploads.begin(request.user, name=name, filename=filename, size=size, sha256=sha256)
    except Refusal as refusal:
        return JsonResponse({"problem": str(refusal)}, status=422)
    return JsonResponse(
        {
            "pieces": reverse("marketdata:add_piece", args=[upload.pk]),
            "page": reverse("marketdata:upload", args=[upload.pk]),
            "received": upload.received,
        }
    )


@login_required
@require_POST
def add_piece(request: HttpRequest, upload: UUID) -> JsonResponse:
    """?offset=N and the bytes. 409 with what is there when the piece does not go on from it."""
    found = get_object_or_404(Upload, pk=upload, owner=request.user)
    offset = request.GET.get("offset", "")
    try:
        piece = request.body
        if not (offset.isascii() and offset.isdigit()):
            raise Refusal("Say where the piece begins.")
        after = uploads.append(found, int(offset), piece)
    except WrongPlace as wrong:
        return JsonResponse({"received": wrong.received}, status=409)
    except (Refusal, RequestDataTooBig) as refusal:
        text = str(refusal) if isinstance(refusal, Refusal) else "The piece is too large."
        return JsonResponse({"problem": text}, status=413)
    return JsonResponse({"received": after.received, "done": after.received == after.size})


@never_cache
@login_required
@require_safe
def upload(request: HttpRequest, upload: UUID) -> HttpResponse:
    found = get_object_or_404(Upload.objects.select_related("version__dataset"), pk=upload, owner=request.user)
    return render(request, "marketdata/upload.html", _upload_context(found))


@never_cache
@login_required
@require_GET
def upload_state(request: HttpRequest, upload: UUID) -> HttpResponse:
    """The part of the page that changes by itself, asked for while a box reads."""
    found = get_object_or_404(Upload.objects.select_related("version__dataset"), pk=upload, owner=request.user)
    return render(request, "marketdata/_upload_state.html", _upload_context(found))


def _upload_context(upload: Upload) -> dict[str, Any]:
    context: dict[str, Any] = {
        "upload": upload,
        "working": upload.status in uploads.WORKING,
        "piece_bytes": uploads.PIECE_BYTES,
        "number": uploads.next_number(upload.owner, upload.dataset_name),
    }
    if upload.status != Upload.Status.ASKING:
        return context
    found, chosen = upload.found, upload.reading
    options = found["options"]
    questions = {question["choice"]: question for question in found["questions"]}

    def field(name: str, label: str, among: dict[str, str], empty: str = "") -> dict[str, Any]:
        question = questions.get(name)
        choices = question["options"] if question and question["options"] else among
        value = str(chosen.get(name, ""))
        return {
            "name": name,
            "label": label,
            "question": question["text"] if question else "",
            "value": value,
            "empty": "Choose" if question else empty,
            "options": list(choices.items()),
        }

    layout = [
        field("encoding", "Encoding", options.get("encoding", {})),
        field("delimiter", "Delimiter", _DELIMITERS if found["kind"] == "csv" else {}),
        field("header", "Names in the first row", _YES_NO if found["kind"] in ("csv", "excel") else {}),
        field("sheet", "Sheet", options.get("sheet", {})),
    ]
    when = [
        field("date_column", "Dates are in", options.get("date_column", {})),
        field("date_format", "Form of the dates", options.get("date_format", {})),
    ]
    numbers = [
        field("decimal", "Decimal sign", options.get("decimal", {}) if "decimal" in chosen else {}),
        field("thousands", "Between thousands", options.get("thousands", {}) if "decimal" in chosen else {}),
    ]
    stops = {remark["kind"] for remark in found["remarks"] if remark["kind"] in _ODD_FIELDS}
    odd = [
        field(name, label, among, "refuse the file") for name, (label, among) in _ODD_FIELDS.items() if name in stops
    ]
    blocking = [remark for remark in found["remarks"] if remark["level"] == "stop"]
    return context | {
        "found": found,
        "fields": [each for each in (*layout, *when, *numbers) if each["options"]],
        "odd_fields": odd,
        "zone": {"value": chosen.get("zone", ""), "question": questions.get("zone", {}).get("text", "")},
        "shows_zone": "zone" in questions or bool(found["zone"]),
        "zones": ZONES,
        "names_question": questions.get("names", {}).get("text", ""),
        "sources": [
            {**source, "number": number, "is_date": source["holds"] == "date"}
            for number, source in enumerate(found["sources"][:MOST_NAMED])
        ],
        "ours": OURS[1:],
        "questions": found["questions"],
        "blocking": blocking,
        "warnings": [remark for remark in found["remarks"] if remark["level"] == "warning"],
        "notes": [remark for remark in found["remarks"] if remark["level"] == "note"],
        "ready": not blocking and not found["questions"],
    }


_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", " ": "blanks", "^": "caret", "~": "tilde"}
_YES_NO = {"yes": "yes", "no": "no"}
_ODD_FIELDS = {
    "unreadable": ("Cells that are no numbers", {"missing": "leave them empty"}),
    "infinities": ("Infinite values", {"missing": "leave them empty"}),
    "duplicates": ("Rows of the same moment", {"first": "keep the first", "last": "keep the last"}),
    "negative": ("Prices of zero or below", {"yes": "are meant: it is a spread, a rate or a future"}),
}


@login_required
@require_POST
def choose(request: HttpRequest, upload: UUID) -> HttpResponse:
    """Look again, or make a version: only of what was shown."""
    found = get_object_or_404(Upload, pk=upload, owner=request.user)
    before = found.reading
    chosen = _posted_choices(request, found)
    shown_is_chosen = all(chosen.get(key, "") == before.get(key, "") for key in {*chosen, *before})
    confirm = request.POST.get("do") == "keep"
    if confirm and not shown_is_chosen:
        messages.info(request, "You changed how the file is read: look at the rows again, then confirm.")
    uploads.choose(found, chosen, confirm=confirm and shown_is_chosen)
    return redirect("marketdata:upload", found.pk)


def _posted_choices(request: HttpRequest, upload: Upload) -> dict[str, Any]:
    """What the form says. Where the layout changes, what was found out under the old one is forgotten."""
    before, post = upload.reading, request.POST
    chosen: dict[str, Any] = {
        key: without_nul(post.get(key, before.get(key, "")))[:80] for key in (*LAYOUT, *DATES, *FIGURES, *ODDITIES)
    }
    chosen = {key: value for key, value in chosen.items() if value or key in before or key in post}
    names = list(before.get("names", []))
    for number in range(min(len(names), MOST_NAMED)):
        if f"name_{number}" in post:
            names[number] = without_nul(post[f"name_{number}"]).strip()[:60]

    def changed(*keys: str) -> bool:
        return any(chosen.get(key, "") != before.get(key, "") for key in keys)

    if changed(*LAYOUT):
        for key in (*DATES, *FIGURES):
            chosen.pop(key, None)
        return chosen
    if changed("date_column"):
        if not changed("date_format"):
            chosen.pop("date_format", None)
        return chosen
    return {**chosen, "names": names} if names else chosen


def without_nul(text: object) -> str:
    """What a form says, without the one character that the database cannot hold."""
    return str(text).replace("\0", "")


@login_required
@require_POST
def discard_upload(request: HttpRequest, upload: UUID) -> HttpResponse:
    uploads.discard(get_object_or_404(Upload, pk=upload, owner=request.user))
    messages.success(request, "The upload is discarded.")
    return redirect("marketdata:data_mine")


# One's own datasets -----------------------------------------------------------------------------------------


def _own(request: HttpRequest, name: str) -> Dataset:
    return get_object_or_404(Dataset.objects.select_related("owner__plan"), owner=request.user, name=name)


@never_cache
@login_required
@require_safe
def dataset(request: HttpRequest, name: str) -> HttpResponse:
    found = _own(request, name)
    return render(request, "marketdata/dataset.html", _dataset_context(found))


def _dataset_context(found: Dataset, refusal: Refusal | None = None) -> dict[str, Any]:
    versions = list(found.versions.all())
    return {
        "dataset": found,
        "versions": [{"version": each, "original": datasets.original_of(each)} for each in versions],
        "newest": versions[0],
        "is_shared": datasets.is_shared(found),
        "place": f"mine/{found.name}",
        "refusal": refusal,
        "days": datasets.DAYS_TO_COME_BACK,
    }


@login_required
@require_POST
def act_on_dataset(request: HttpRequest, name: str, action: str) -> HttpResponse:
    found = _own(request, name)
    try:
        return _act(request, found, action)
    except Dataset.DoesNotExist:  # gone meanwhile, from another window
        raise Http404 from None


def _act(request: HttpRequest, found: Dataset, action: str) -> HttpResponse:
    name = found.name
    match action:
        case "describe":
            return _describe(request, found)
        case "delete":
            datasets.delete(found)
            messages.success(request, f"mine/{name} is deleted. It can be brought back for 30 days, below.")
        case "bring-back":
            datasets.bring_back(found)
            messages.success(request, f"mine/{name} is back.")
            return redirect("marketdata:dataset", name)
        case "delete-for-good":
            datasets.delete_for_good(found)
            messages.success(request, f"mine/{name} is gone for good.")
        case _:
            raise Http404
    return redirect("marketdata:data_mine")


def _describe(request: HttpRequest, found: Dataset) -> HttpResponse:
    try:
        datasets.describe(
            found,
            title=without_nul(request.POST.get("title", "")).strip()[:200],
            source=without_nul(request.POST.get("source", "")).strip()[:200],
            may_be_shared="may_be_shared" in request.POST,
            shared="shared" in request.POST,
        )
    except Refusal as refusal:
        return render(request, "marketdata/dataset.html", _dataset_context(found, refusal), status=422)
    messages.success(request, "Saved.")
    return redirect("marketdata:dataset", found.name)


@login_required
@require_POST
def delete_version(request: HttpRequest, name: str, number: int) -> HttpResponse:
    version = _version(_own(request, name), number)
    try:
        datasets.delete_version(version)
    except Refusal as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, f"Version {number} is gone for good.")
    return redirect("marketdata:dataset", name)


@login_required
@require_safe
def original(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """The file as it was sent, for as long as it is kept; always a download."""
    version = _version(_own(request, name), number)
    file = datasets.open_original(version)
    if file is None:
        raise Http404
    return FileResponse(file, as_attachment=True, filename=version.filename, content_type="application/octet-stream")


@login_required
@require_safe
def own_csv(request: HttpRequest, name: str, number: int) -> Download:
    return _csv(_version(_own(request, name), number))


def _version(found: Dataset, number: int) -> DatasetVersion:
    return get_object_or_404(DatasetVersion.objects.select_related("dataset__owner"), dataset=found, number=number)


def _csv(version: DatasetVersion) -> Download:
    path = datasets.object_of(version)
    if path is None:
        raise Http404
    response = Download(csv_lines(path, version.zone), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{version.dataset.name}-{version.number}.csv"'
    return response


# What others share ------------------------------------------------------------------------------------------


@require_safe
def shared_list(request: HttpRequest) -> HttpResponse:
    found = datasets.shared_datasets().select_related("owner").order_by("-changed")
    page = Paginator(found, ON_A_PAGE).get_page(request.GET.get("page"))
    rows = [{"dataset": each, "newest": each.versions.first()} for each in page]
    return render(request, "marketdata/shared_datasets.html", {"rows": rows, "page": page})


def _shared(user: str, name: str) -> Dataset:
    return get_object_or_404(
        datasets.shared_datasets().select_related("owner"), owner__username=user.lower(), name=name
    )


@never_cache
@require_safe
def shared(request: HttpRequest, user: str, name: str) -> HttpResponse:
    found = _shared(user, name)
    versions = list(found.versions.all())
    context = {
        "dataset": found,
        "versions": versions,
        "newest": versions[0],
        "place": f"{found.owner.username}/{found.name}",
        "is_own": found.owner == request.user,
        "is_used": request.user.is_authenticated and datasets.is_used_by(request.user, found),
    }
    return render(request, "marketdata/shared_dataset.html", context)


@login_required
@require_POST
def act_on_shared(request: HttpRequest, user: str, name: str, action: str) -> HttpResponse:
    if action == "leave":  # also when it is shared no more
        found = get_object_or_404(Dataset, owner__username=user.lower(), name=name)
        if not (datasets.is_shared(found) or datasets.is_used_by(request.user, found)):
            raise Http404  # what is private does not show that it exists
        datasets.leave(request.user, found)
        return redirect("marketdata:shared_datasets")
    found = _shared(user, name)
    if action != "use" or found.owner == request.user:
        raise Http404
    datasets.use(request.user, found)
    messages.success(request, f"Your code reads it as {found.owner.username}/{found.name} from the next run on.")
    return redirect("marketdata:shared_dataset", user, name)


@require_safe
def shared_csv(request: HttpRequest, user: str, name: str, number: int) -> Download:
    return _csv(_version(_shared(user, name), number))
